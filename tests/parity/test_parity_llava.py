"""LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision: counts, pixels and ids equal those of transformers' own processors."""

import numpy as np
import pytest
from processors import byte_tokenizer, layout_ids, picture, random_sizes
from transformers import LlavaNextProcessor, LlavaOnevisionProcessor, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from operators.profiles import load_profile
from operators.slicing.llava_1_5 import Llava15Config
from operators.slicing.llava_next import LlavaNextConfig
from pipeline.types import Place
from tests.rendering import rendered

RAW = {"do_rescale": False, "do_normalize": False}
CLIP = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, **RAW}
HALF = [0.5, 0.5, 0.5]
SMALL = [(97, 64), (40, 130), (300, 200), (336, 336), (420, 35)]
LARGE = [size for size in random_sizes(200, seed=3, longest=3000) if size[0] * size[1] <= 4_000_000][:40]
SIZES = [*SMALL, *(pytest.param(*size, marks=pytest.mark.slow) for size in LARGE)]
TEXTS = ["A <image> and b.", "One: <image>\ntwo: <image>, both."]


class PicturesOnly(LlavaOnevisionProcessor):
    """Without a video processor, which needs torchvision."""

    def check_argument_for_proper_class(self, *_):
        """Accepts any part."""


@pytest.fixture(scope="module")
def llava():
    profile = load_profile("llava_1_5")
    tokenizer = byte_tokenizer(profile, image_token="<image>")
    return LlavaProcessor(LlavaImageProcessorPil(**CLIP), tokenizer, 14, "default", num_additional_image_tokens=1)


@pytest.fixture(scope="module")
def llava_next():
    tokenizer = byte_tokenizer(load_profile("llava_next"), image_token="<image>")
    images = LlavaNextImageProcessorPil(**CLIP)
    return LlavaNextProcessor(images, tokenizer, 14, "default", num_additional_image_tokens=1)


@pytest.fixture(scope="module")
def onevision():
    tokenizer = byte_tokenizer(load_profile("llava_onevision"), image_token="<image>", video_token="<video>")
    images = LlavaOnevisionImageProcessorPil(image_mean=HALF, image_std=HALF, **RAW)
    return PicturesOnly(images, tokenizer, None, num_image_tokens=729, vision_feature_select_strategy="full")


CONFIGS = {
    "llava": Llava15Config(),
    "llava_next": LlavaNextConfig(pinpoint_order="height_first"),
    "onevision": load_profile("llava_onevision").slicing,
}
families = pytest.mark.parametrize("family", list(CONFIGS))


def plan_of(family, width, height, place=None):
    return CONFIGS[family].plan(width, height, {"placeholder": "<image>"}, place or Place())


def assert_equal_pixels(width, height, plan, processed):
    views = rendered(picture(width, height), plan)
    assert len(views) == len(processed)
    for view, theirs in zip(views, processed, strict=True):
        assert np.array_equal(np.asarray(view).transpose(2, 0, 1), theirs)


@families
def test_counts_equal_the_processors_on_500_sizes(request, family):
    sizes = random_sizes(500, seed=1, aspect=200.0)
    processor = request.getfixturevalue(family)
    theirs = processor._get_num_multimodal_tokens(image_sizes=[(height, width) for width, height in sizes])
    assert [plan_of(family, *size).placeholders for size in sizes] == theirs["num_image_tokens"]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("family", ["llava_next", "onevision"])
def test_anyres_views_equal_the_processors_pixel_for_pixel(request, family, width, height):
    processor = request.getfixturevalue(family).image_processor
    assert_equal_pixels(
        width, height, plan_of(family, width, height), processor(picture(width, height))["pixel_values"][0]
    )


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_llava_1_5_view_equals_the_processors_pixel_for_pixel(fit, width, height):
    plan = Llava15Config(fit=fit).plan(width, height, {"placeholder": "<image>"})
    padding = LlavaImageProcessorPil(**CLIP, do_pad=True)
    processor = padding if fit == "pad" else CLIPImageProcessorPil(**CLIP)
    assert_equal_pixels(width, height, plan, processor(picture(width, height))["pixel_values"])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_onevision_view_among_several_equals_the_processors_pixel_for_pixel(onevision, width, height):
    plan = plan_of("onevision", width, height, Place(0, 2))
    processed = onevision.image_processor([[picture(width, height), picture(50, 50)]])["pixel_values"][0]
    assert_equal_pixels(width, height, plan, processed)


@pytest.mark.parametrize("text", TEXTS)
@families
def test_ids_of_a_text_equal_the_processors(request, family, text):
    processor = request.getfixturevalue(family)
    sizes = [(300, 200), (90, 260)][: text.count("<image>")]
    theirs = processor(images=[[picture(*size) for size in sizes]], text=text)["input_ids"][0]
    encode = processor.tokenizer.encode
    first, *others = text.split("<image>")
    ours = encode(first)
    for number, (size, after) in enumerate(zip(sizes, others, strict=True)):
        ours += layout_ids(plan_of(family, *size, Place(number, len(sizes))), processor.tokenizer) + encode(after)
    assert ours == theirs


def test_onevision_video_counts_equal_the_processors(onevision):
    frames = [1, 2, 8, 32]
    theirs = onevision._get_num_multimodal_tokens(video_sizes=[(count, 480, 640) for count in frames])
    assert [CONFIGS["onevision"].video_tokens(count) for count in frames] == theirs["num_video_tokens"]


def test_order_of_pinpoints_matters_to_small_pictures_only(llava_next):
    theirs = llava_next._get_num_multimodal_tokens(image_sizes=[(200, 300)])["num_image_tokens"]
    assert theirs == [plan_of("llava_next", 300, 200).placeholders] == [1464]
    as_trained, placeholder = LlavaNextConfig(), {"placeholder": "<image>"}
    assert as_trained.plan(300, 200, placeholder).placeholders == 976
    larger = [size for size in random_sizes(500, seed=1) if max(size) > 336]
    assert all(as_trained.plan(*size, placeholder) == plan_of("llava_next", *size) for size in larger)

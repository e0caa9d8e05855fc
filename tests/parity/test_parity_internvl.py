"""InternVL: counts, pixels and ids equal those of transformers' own processor."""

import numpy as np
import pytest
from processors import byte_tokenizer, layout_ids, picture, random_sizes
from transformers import InternVLProcessor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from operators.profiles import load_profile
from operators.slicing.internvl import InternVLConfig
from tests.rendering import rendered

PROFILE = load_profile("internvl")
TOKENS = PROFILE.tokens.by_role()
SMALL = [(97, 64), (40, 130), (448, 448), (300, 150), (330, 35)]
LARGE = [size for size in random_sizes(200, seed=3, longest=3000) if size[0] * size[1] <= 4_000_000][:40]
SIZES = [*SMALL, *(pytest.param(*size, marks=pytest.mark.slow) for size in LARGE)]
TEXTS = ["A <IMG_CONTEXT> and b.", "One: <IMG_CONTEXT>\ntwo: <IMG_CONTEXT>, both."]


class PicturesOnly(InternVLProcessor):
    """Without a video processor, which needs torchvision."""

    def check_argument_for_proper_class(self, *_):
        """Accepts any part."""


@pytest.fixture(scope="module")
def processor():
    tokenizer = byte_tokenizer(
        PROFILE,
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    images = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448}, do_rescale=False, do_normalize=False)
    return PicturesOnly(images, tokenizer, None)


@pytest.mark.parametrize(("min_tiles", "max_tiles"), [(1, 12), (1, 6), (3, 20), (1, 1)])
def test_counts_equal_the_processors_on_500_sizes(processor, min_tiles, max_tiles):
    sizes = random_sizes(500, seed=1, aspect=200.0)
    config = InternVLConfig(min_tiles=min_tiles, max_tiles=max_tiles)
    theirs = processor._get_num_multimodal_tokens(
        image_sizes=[(height, width) for width, height in sizes], min_patches=min_tiles, max_patches=max_tiles
    )
    assert [config.plan(*size, TOKENS).tokens for size in sizes] == theirs["num_image_tokens"]


def test_profile_has_the_processors_defaults(processor):
    images = processor.image_processor
    config = PROFILE.slicing
    assert (config.min_tiles, config.max_tiles) == (images.min_patches, images.max_patches)
    assert config.plan(100, 100, TOKENS).placeholders == processor.image_seq_length


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_views_equal_the_processors_pixel_for_pixel(processor, width, height):
    source = picture(width, height)
    theirs = processor.image_processor(source, crop_to_patches=True)["pixel_values"]
    ours = rendered(source, PROFILE.slicing.plan(width, height, TOKENS))
    assert len(ours) == len(theirs)
    assert all(
        np.array_equal(np.asarray(view).transpose(2, 0, 1), array) for view, array in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_a_text_equal_the_processors(processor, text):
    sizes = [(300, 200), (90, 260)][: text.count("<IMG_CONTEXT>")]
    theirs = processor(images=[picture(*size) for size in sizes], text=text)["input_ids"][0]
    encode = processor.tokenizer.encode
    first, *others = text.split("<IMG_CONTEXT>")
    ours = encode(first)
    for size, after in zip(sizes, others, strict=True):
        ours += layout_ids(PROFILE.slicing.plan(*size, TOKENS), processor.tokenizer) + encode(after)
    assert ours == theirs

"""Idefics3, SmolVLM and SmolVLM2 equal transformers' processors: counts, ids and pixels.

SmolVLMProcessor wants num2words for its videos; its pictures' text is compared by the function that makes it, and
ids by Idefics3Processor, whose text is the same.
"""

from typing import NamedTuple

import numpy as np
import pytest
from processors import byte_tokenizer, layout_ids, picture, random_sizes
from transformers import Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from operators.profiles import Profile, load_profile
from tests.rendering import rendered

NAMES = ("idefics3", "smolvlm", "smolvlm2")
SMALL = [(30, 20), (20, 30), (100, 100), (400, 100), (90, 160)]
LARGE = [size for size in random_sizes(80, seed=3) if size[0] * size[1] <= 4_000_000][:40]


class Family(NamedTuple):
    profile: Profile
    processor: Idefics3Processor

    def plan(self, width, height):
        return self.profile.slicing.plan(width, height, self.profile.tokens.by_role())


@pytest.fixture(scope="module", params=NAMES)
def family(request):
    profile = load_profile(request.param)
    config = profile.slicing
    kind = Idefics3ImageProcessorPil if request.param == "idefics3" else SmolVLMImageProcessorPil
    images = kind(
        size={"longest_edge": config.longest},
        max_image_size={"longest_edge": config.tile},
        do_normalize=False,
        do_rescale=False,
    )
    return Family(profile, Idefics3Processor(images, byte_tokenizer(profile), image_seq_len=config.side**2))


def test_constants_are_the_processors():
    profile = load_profile("idefics3")
    assert profile.slicing.longest == Idefics3ImageProcessorPil.size["longest_edge"]
    assert profile.slicing.tile == Idefics3ImageProcessorPil.max_image_size["longest_edge"]
    for kind in (Idefics3ImageProcessorPil, SmolVLMImageProcessorPil):
        assert kind.image_mean == kind.image_std == list(profile.mean) == list(profile.std)


def test_counts_equal_on_500_sizes(family):
    sizes = [*random_sizes(400), *random_sizes(100, seed=1, aspect=500)]
    theirs = family.processor._get_num_multimodal_tokens(image_sizes=[(height, width) for width, height in sizes])
    plans = [family.plan(*size) for size in sizes]
    assert [plan.tokens for plan in plans] == theirs.num_image_tokens
    assert [len(plan.views) for plan in plans] == theirs.num_image_patches


@pytest.mark.parametrize("sizes", [[(100, 60)], [(60, 100), (300, 100)]], ids=["one", "two"])
def test_ids_equal_the_processors(family, sizes):
    tokenizer = family.processor.tokenizer
    images = [picture(*size) for size in sizes]
    theirs = family.processor(images=images, text="It shows " + "<image> and\n".join([""] * (len(sizes) + 1)))
    ours = tokenizer.encode("It shows ", add_special_tokens=False)
    for size in sizes:
        ours += layout_ids(family.plan(*size), tokenizer) + tokenizer.encode(" and\n", add_special_tokens=False)
    assert theirs["input_ids"] == [ours]


@pytest.mark.parametrize("name", NAMES[1:])
def test_text_equals_smolvlms(name):
    profile = load_profile(name)
    for width, height in [(100, 60), (60, 100), (300, 100), (100, 100)]:
        plan = profile.slicing.plan(width, height, profile.tokens.by_role())
        rows, cols = plan.views[-2].row + 1, plan.views[-2].col + 1
        marks = "<fake_token_around_image>", "<image>", "<global-img>"
        theirs = get_image_prompt_string(rows, cols, profile.slicing.side**2, *marks)
        assert "".join(run.token * run.count for run in plan.layout) == theirs


def assert_pixels_equal(family, size):
    image = picture(*size)
    (theirs,) = family.processor.image_processor([image])["pixel_values"]
    ours = rendered(image, family.plan(*size))
    assert np.array_equal(np.stack([np.asarray(view).transpose(2, 0, 1) for view in ours]), theirs)


@pytest.mark.parametrize("size", SMALL, ids=str)
def test_pixels_of_small_pictures_equal(family, size):
    assert_pixels_equal(family, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_pixels_equal(family, size):
    assert_pixels_equal(family, size)

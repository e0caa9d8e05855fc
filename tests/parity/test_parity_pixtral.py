"""Pixtral equals transformers' processor and mistral-common's image encoder: sizes, counts, ids and pixels.

PixtralProcessor wants torchvision; its text and its count come from its own code, without importing it.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from mistral_common.tokens.tokenizers.image import DATASET_MEAN, DATASET_STD, ImageConfig, ImageEncoder, SpecialImageIDs
from PIL import Image
from processors import byte_tokenizer, layout_ids, picture, random_sizes
from sources import functions_of
from transformers.models.pixtral import image_processing_pil_pixtral as pixtral_pil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

from operators.profiles import load_profile
from operators.slicing.pixtral import PixtralConfig, token_grid
from pipeline.errors import InputError
from tests.rendering import rendered

PROFILE = load_profile("pixtral")
TOKENS = PROFILE.tokens.by_role()
TOKENIZER = byte_tokenizer(PROFILE)
MERGING = PixtralConfig(longest=1540, patch=14, merge=2)
SIZES = [*random_sizes(400), *random_sizes(100, seed=1, aspect=500)]
SMALL = [(30, 20), (16, 16), (100, 100), (700, 100), (90, 460)]
LARGE = [size for size in random_sizes(80, seed=3) if size[0] * size[1] <= 4_000_000][:40]

replace_image_token, count = functions_of(
    "transformers.models.pixtral",
    "processing_pixtral.py",
    "replace_image_token",
    "_get_num_multimodal_tokens",
    np=np,
    get_resize_output_image_size=lambda _, size, patch_size: pixtral_pil.get_resize_output_image_size(
        _, size, patch_size, input_data_format="channels_last"
    ),
    MultiModalData=SimpleNamespace,
)


def stand_in(config):
    """What the two methods read of a PixtralProcessor."""
    return SimpleNamespace(
        patch_size=config.patch,
        spatial_merge_size=config.merge,
        image_token="[IMG]",
        image_break_token="[IMG_BREAK]",
        image_end_token="[IMG_END]",
        image_processor=SimpleNamespace(size={"longest_edge": config.longest}),
        _merge_kwargs=lambda: {"images_kwargs": {}},
    )


def image_processor(config):
    patch = {"height": config.factor, "width": config.factor}
    return PixtralImageProcessorPil(
        size={"longest_edge": config.longest}, patch_size=patch, do_normalize=False, do_rescale=False
    )


def encoder(*, longest=1024):
    numbers = (TOKENIZER.convert_tokens_to_ids(token) for token in ("[IMG]", "[IMG_BREAK]", "[IMG_END]"))
    return ImageEncoder(ImageConfig(16, longest), SpecialImageIDs(*numbers))


def sized(width, height):
    """A picture of which only the size is asked."""
    return SimpleNamespace(size=(width, height))


def test_constants_are_the_processors():
    kind = PixtralImageProcessorPil
    assert PROFILE.slicing == PixtralConfig(longest=kind.size["longest_edge"], patch=kind.patch_size["height"])
    assert tuple(kind.image_mean) == PROFILE.mean == DATASET_MEAN
    assert tuple(kind.image_std) == PROFILE.std == DATASET_STD


@pytest.mark.parametrize("config", [PROFILE.slicing, MERGING], ids=["12b", "merging"])
def test_counts_equal_transformers_on_500_sizes(config):
    theirs, ours = [], []
    for width, height in SIZES:
        (expected,) = count(stand_in(config), image_sizes=[(height, width)]).num_image_tokens
        theirs.append(expected)
        try:
            ours.append(config.plan(width, height, TOKENS).tokens)
        except InputError:
            ours.append(0)
    assert ours == theirs


def test_picture_that_transformers_cannot_resize_is_refused():
    with pytest.raises(ValueError):
        image_processor(PROFILE.slicing)([Image.new("RGB", (3000, 1))])
    with pytest.raises(InputError):
        PROFILE.slicing.plan(3000, 1, TOKENS)


def test_grids_equal_mistral_commons_on_500_sizes():
    nearest = PixtralConfig(rounding="nearest")
    theirs = [encoder()._image_to_num_tokens(sized(*size)) for size in SIZES]
    assert [token_grid(*size, nearest) for size in SIZES] == theirs


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((200, 311), (208, 320)),
        ((300, 212), (304, 224)),
        ((251, 1374), (192, 1024)),
        ((1475, 477), (1024, 336)),
        ((1344, 1544), (896, 1024)),
        ((2133, 3422), (640, 1024)),
    ],
    ids=str,
)
@pytest.mark.parametrize("rounding", ["floor", "nearest"])
def test_sizes_equal_those_that_mistral_common_tests(size, expected, rounding):
    (view,) = PixtralConfig(rounding=rounding).plan(*size, TOKENS).views
    assert (view.width, view.height) == expected


@pytest.mark.parametrize(("size", "grid"), [((512, 1024), (4, 8)), ((386, 386), (8, 8))], ids=str)
def test_small_limit_gives_the_grids_that_mistral_common_tests(size, grid):
    assert token_grid(*size, PixtralConfig(longest=128)) == grid
    assert encoder(longest=128)._image_to_num_tokens(sized(*size)) == grid


@pytest.mark.parametrize("config", [PROFILE.slicing, MERGING], ids=["12b", "merging"])
@pytest.mark.parametrize("sizes", [[(100, 60)], [(60, 100), (300, 100)]], ids=["one", "two"])
def test_ids_equal_the_processors(sizes, config):
    text, ours = "It shows ", TOKENIZER.encode("It shows ", add_special_tokens=False)
    theirs = image_processor(config)([picture(*size) for size in sizes])
    for number, size in enumerate(sizes):
        text += replace_image_token(stand_in(config), theirs, number) + " and\n"
        ours += layout_ids(config.plan(*size, TOKENS), TOKENIZER)
        ours += TOKENIZER.encode(" and\n", add_special_tokens=False)
    assert TOKENIZER.encode(text, add_special_tokens=False) == ours


@pytest.mark.parametrize("size", [(100, 60), (1475, 477), (30, 2000)], ids=str)
def test_ids_equal_mistral_commons(size):
    cols, rows = encoder()._image_to_num_tokens(sized(*size))
    theirs = ([encoder().special_ids.img] * cols + [encoder().special_ids.img_break]) * rows
    theirs[-1] = encoder().special_ids.img_end
    plan = PixtralConfig(rounding="nearest").plan(*size, TOKENS)
    assert layout_ids(plan, TOKENIZER) == theirs


def assert_pixels_equal(config, size):
    image = picture(*size)
    (theirs,) = image_processor(config)([image])["pixel_values"]
    (ours,) = rendered(image, config.plan(*size, TOKENS))
    assert np.array_equal(np.asarray(ours).transpose(2, 0, 1), theirs)


@pytest.mark.parametrize("config", [PROFILE.slicing, MERGING], ids=["12b", "merging"])
@pytest.mark.parametrize("size", SMALL, ids=str)
def test_pixels_of_small_pictures_equal(config, size):
    assert_pixels_equal(config, size)


@pytest.mark.slow
@pytest.mark.parametrize("config", [PROFILE.slicing, MERGING], ids=["12b", "merging"])
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_pixels_equal(config, size):
    assert_pixels_equal(config, size)

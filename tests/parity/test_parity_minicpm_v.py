"""MiniCPM-V equals transformers' MiniCPM-V 4.6 processor where tokens are merged: grids, counts, ids and pixels.

The checkpoints of the 2.6 profile have the same grids and text, but 64 queries a view.
"""

import numpy as np
import pytest
from processors import byte_tokenizer, layout_ids, picture, random_sizes
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor
from transformers.models.minicpmv4_6.video_processing_minicpmv4_6 import MiniCPMV4_6VideoProcessor

from operators.profiles import load_profile
from operators.slicing.minicpm_v import MiniCPMVConfig, find_best_resize, select_grid
from pipeline.types import Modality, Place
from tests.rendering import rendered

PROFILE = load_profile("minicpm_v")
TOKENS = PROFILE.tokens.by_role()
MERGES = {"16x": 4, "4x": 2}
SMALL = [(30, 20), (100, 100), (500, 400), (700, 100), (90, 460)]
LARGE = [size for size in random_sizes(80, seed=3) if size[0] * size[1] <= 4_000_000][:40]


class PicturesOnly(MiniCPMV4_6Processor):
    """Its check of the video processor's class needs torchvision."""

    def check_argument_for_proper_class(self, *_):
        """Accepts any part."""


@pytest.fixture(scope="module", params=MERGES)
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def processor(mode):
    tokenizer = byte_tokenizer(
        PROFILE,
        image_token="<unk>",
        video_token="<|im_start|>",
        image_start_token="<image>",
        image_end_token="</image>",
        slice_start_token="<slice>",
        slice_end_token="</slice>",
        image_id_start_token="<image_id>",
        image_id_end_token="</image_id>",
    )
    images = MiniCPMV4_6ImageProcessorPil(do_normalize=False, do_rescale=False, downsample_mode=mode)
    return PicturesOnly(images, MiniCPMV4_6VideoProcessor(), tokenizer)


@pytest.fixture(scope="module")
def config(mode):
    return MiniCPMVConfig(queries=None, merge=MERGES[mode])


def test_constants_are_the_processors():
    kind = MiniCPMV4_6ImageProcessorPil
    assert PROFILE.slicing == MiniCPMVConfig(
        max_slices=kind.max_slice_nums, tile=kind.scale_resolution, patch=kind.patch_size
    )
    assert kind.image_mean == kind.image_std == list(PROFILE.mean) == list(PROFILE.std)


def theirs_of(images, mode, width, height):
    """(columns, rows) or None; sizes (width, height) of the whole view and of a slice."""
    grid = images.get_sliced_grid((height, width), 9, 448)
    source = images.find_best_resize((height, width), 448, 14, mode, allow_upscale=grid is None)
    if grid is None:
        return None, source[::-1], None
    refined = images.get_refine_size((height, width), grid, 448, 14, mode, allow_upscale=True)
    return tuple(grid[::-1]), source[::-1], (refined[1] // grid[1], refined[0] // grid[0])


def test_grids_sizes_and_counts_equal_on_500_sizes(processor, config, mode):
    for width, height in [*random_sizes(400), *random_sizes(100, seed=1, aspect=500)]:
        grid, source, piece = theirs_of(processor.image_processor, mode, width, height)
        assert select_grid(width, height, config) == select_grid(width, height, PROFILE.slicing) == grid
        assert find_best_resize(width, height, config, upscale=grid is None) == source
        plan = config.plan(width, height, TOKENS)
        expected = [source, *[piece] * (len(plan.views) - 1)]
        assert [(view.width, view.height) for view in plan.views] == expected
        divisor = config.merge**2
        assert plan.placeholders == sum((w // 14) * (h // 14) // divisor for w, h in expected)


@pytest.mark.parametrize("sizes", [[(500, 400)], [(60, 100), (700, 400)]], ids=["one", "two"])
def test_ids_equal_the_processors(processor, config, sizes):
    tokenizer = processor.tokenizer
    images = [picture(*size) for size in sizes]
    theirs = processor(images=[images], text=["It shows " + "<unk> and\n".join([""] * (len(sizes) + 1))])
    ours = tokenizer.encode("It shows ", add_special_tokens=False)
    for number, size in enumerate(sizes):
        plan = config.plan(*size, TOKENS, Place(number, len(sizes)))
        ours += layout_ids(plan, tokenizer) + tokenizer.encode(" and\n", add_special_tokens=False)
    assert theirs["input_ids"].tolist() == [ours]


def test_text_of_2_6_is_that_of_merging_checkpoints_with_64_tokens_a_view(config):
    for size in random_sizes(50, seed=2):
        plan, merging = PROFILE.slicing.plan(*size, TOKENS), config.plan(*size, TOKENS)
        assert [(run.token, run.view) for run in plan.layout] == [(run.token, run.view) for run in merging.layout]
        assert {run.count for run in plan.layout if run.modality == Modality.IMAGE} == {64}


def assert_pixels_equal(processor, config, size):
    image = picture(*size)
    theirs = processor.image_processor([image])["pixel_values"][0]
    # [3, patch, width of all patches]: each patch's rows lie side by side, and so do all views.
    ours = [np.asarray(view).transpose(2, 0, 1) for view in rendered(image, config.plan(*size, TOKENS))]
    strips = [view.reshape(3, -1, 14, view.shape[2]).transpose(0, 2, 1, 3).reshape(3, 14, -1) for view in ours]
    assert np.array_equal(np.concatenate(strips, axis=2), np.asarray(theirs))


@pytest.mark.parametrize("size", SMALL, ids=str)
def test_pixels_of_small_pictures_equal(processor, config, size):
    assert_pixels_equal(processor, config, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_pixels_equal(processor, config, size):
    assert_pixels_equal(processor, config, size)

"""Small text loses before large text, nothing is lost on a flat page, and a cell's codes are the same everywhere."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from operators.relevance import legibility as module
from operators.relevance.legibility import FINENESS, LOSSES, SAMPLINGS, SCALES, legibility
from operators.relevance.resampling import ONE, there_and_back
from operators.relevance.text import text_map

CELLS = [(28, 1), (32, 1), (14, 2), (16, 2), (7, 4), (8, 4)]


def page(size, rows=8, cols=12, cell=28):
    picture = Image.new("L", (cols * cell, rows * cell), 240)
    draw = ImageDraw.Draw(picture)
    for y in range(4, rows * cell, round(size * 1.6)):
        draw.text((4, y), "Open the image and save a copy of it " * 3, fill=20, font=ImageFont.load_default(size))
    return torch.from_numpy(np.array(picture))


def noise(rows, cols, cell, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (rows * cell, cols * cell), np.uint8))


def codes(grey, cell=28, reduction=1):
    return legibility(grey, text_map(grey), cell, reduction)


def losses(grey, cell=28, reduction=1):
    return np.array(LOSSES)[codes(grey, cell, reduction).numpy()]


def test_losses_of_codes_rise_from_nothing_to_the_most_that_a_cell_can_lose():
    assert LOSSES[0] == 0
    assert len(LOSSES) == 256
    assert all(low < high for low, high in pairwise(LOSSES))
    assert LOSSES[-1] >= 16 * 16 * 255 * FINENESS[1] * 255 + 16 * 16 * 255


def test_windows_add_up_to_what_float32_can_hold():
    for sampling in SAMPLINGS.values():
        total = prod(map(sum, sampling.window))
        assert total.bit_count() == 1
        assert 128 * 128 * total**2 <= 1 << 24


@pytest.mark.parametrize(("cell", "reduction"), CELLS)
def test_bands_of_a_resampling_hold_all_of_it_that_windows_reach(cell, reduction):
    measures = module._measures(cell, reduction, torch.device("cpu"))
    size = cell + 2 * measures.context
    whole = torch.zeros(size, size)
    whole[measures.windows.reached] = (
        torch.tensor(there_and_back(size, round(size / 2)))[measures.windows.reached] / ONE
    )
    found = torch.zeros(size, size)
    for rows, cols, weights in measures.half:
        found[measures.windows.reached][rows, cols] = weights
    assert torch.equal(found, whole)


@pytest.mark.parametrize(("cell", "reduction"), CELLS)
@pytest.mark.parametrize("shade", [0, 137, 255])
def test_flat_page_loses_nothing(shade, cell, reduction):
    found = codes(torch.full((2 * cell, 3 * cell), shade, dtype=torch.uint8), cell, reduction)
    assert found.dtype == torch.uint8
    assert found.shape == (len(SCALES), 2, 3)
    assert not found.any()


@pytest.mark.parametrize(("cell", "reduction"), CELLS)
def test_loss_never_grows_with_scale_and_is_none_where_the_reduced_picture_still_shows_it(cell, reduction):
    found = codes(noise(4, 5, cell), cell, reduction)
    assert (found[1:] >= found[:-1]).all()
    for scale, lost in zip(SCALES, found, strict=True):
        assert bool((lost > 0).all()) == (scale * reduction < 1)


def test_small_text_loses_before_large_text():
    small, large = (losses(page(size)).sum(axis=(1, 2)) for size in (10, 28))
    at = SCALES.index(0.5)
    assert small[at] > 10 * large[at]
    assert small[at] > 0.6 * small[-1]
    assert large[at] < 0.2 * large[-1]


def test_text_loses_far_more_than_texture_of_the_same_contrast():
    grains = np.random.default_rng(0).integers(0, 256, (60, 84), np.uint8)
    rough = Image.fromarray(grains).resize((336, 224), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))
    photograph = losses(torch.from_numpy(np.array(rough))).sum(axis=(1, 2))
    text = losses(page(12)).sum(axis=(1, 2))
    assert (text[2:] > 20 * photograph[2:]).all()


def test_codes_of_a_line_of_text_are_these():
    assert codes(page(12, 1, 3)).flatten(1).tolist() == GOLDEN


def test_a_cell_depends_on_its_surroundings_alone():
    grey = noise(12, 12, 28)
    text = text_map(grey)
    found = legibility(grey, text, 28)
    part = legibility(grey[4 * 28 : 9 * 28, 2 * 28 : 10 * 28], text[28:63, 14:70], 28)
    assert torch.equal(part[:, 1:-1, 1:-1], found[:, 5:8, 3:9])


def test_batches_threads_and_fast_paths_change_nothing(monkeypatch):
    grey = torch.cat([page(12), noise(8, 12, 28)])
    found = codes(grey)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert torch.equal(codes(grey), found)
    finally:
        torch.set_num_threads(before)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(codes(grey), found)
    monkeypatch.setattr(module, "BATCH", 7)
    assert torch.equal(codes(grey), found)


def test_shortfall_is_that_of_exact_sums():
    patches = noise(3, 1, 40).view(3, 40, 40)
    measures = module._measures(28, 1, patches.device)
    window = torch.zeros(14, 40, dtype=torch.float64)
    for row, place in enumerate(range(1, 28, 2)):
        window[row, place + 2 : place + 11] = torch.tensor([1, 2, 4, 6, 6, 6, 4, 2, 1]) / 32
    half = torch.tensor(there_and_back(40, 20), dtype=torch.float64)
    x = patches.double() - 128
    y = ((half @ x @ half.T + 2**15) / 2**16).floor().clamp(-128, 127)

    def mean(values):
        return window @ values @ window.T

    spread = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    shared = mean(x * y) - mean(x) * mean(y)
    exact = ((spread - 2 * shared) * 256 / (spread + module.STABLE)).floor().clamp(0, 255).permute(1, 2, 0)
    found = module._shortfall(module._page(patches, measures.windows), measures.half, measures.windows)
    assert (found - exact).abs().max() <= 1
    assert (found == exact).double().mean() > 0.99


GOLDEN = [
    [206, 211, 211],
    [211, 214, 215],
    [215, 220, 219],
    [227, 237, 238],
    [235, 240, 240],
    [239, 242, 241],
    [239, 242, 241],
    [239, 242, 241],
]
"""By scale."""

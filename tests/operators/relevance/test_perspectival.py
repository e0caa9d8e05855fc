"""Salience: nothing without edges, everything where text stands, and the same for a tile whatever stands beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from operators.relevance import TILE
from operators.relevance.perspectival import EDGE, SATURATION, perspectival


def score(*tiles):
    found = perspectival(torch.from_numpy(np.stack(tiles)))
    assert found.dtype == torch.uint8
    return found.tolist()


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (TILE, TILE), np.uint8)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_tile_is_worth_nothing(shade):
    assert score(np.full((TILE, TILE), shade, np.uint8)) == [0]


def test_smooth_ramp_is_worth_nothing():
    ramp = np.tile(np.linspace(0, 255, TILE).astype(np.uint8), (TILE, 1))
    assert score(ramp, ramp.T.copy()) == [0, 0]


def test_noise_and_text_are_worth_all():
    page = Image.new("L", (TILE, TILE), 255)
    for y in range(0, TILE, 12):
        ImageDraw.Draw(page).text((2, y), "dense body text", fill=0)
    assert score(noise(0), np.asarray(page)) == [255, 255]


@pytest.mark.parametrize("step", [31, 32, 33])
def test_step_counts_as_an_edge_from_32_grey_levels(step):
    tile = np.zeros((TILE, TILE), np.uint8)
    tile[:, TILE // 2 :] = step
    edges = 2 * (TILE - 2) if 4 * step >= EDGE else 0
    assert score(tile) == score(tile.T.copy()) == [edges * SATURATION * 255 // (TILE - 2) ** 2]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (6, 8, 8)), st.permutations(range(6)))
def test_value_depends_on_its_tile_alone(tiles, order):
    together = score(*tiles)
    assert [score(tile)[0] for tile in tiles] == together
    assert score(*tiles[list(order)]) == [together[i] for i in order]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (7, 9)))
def test_value_equals_sobel_by_hand_and_survives_flips(tile):
    t = tile.astype(int)
    edges = 0
    for y in range(1, 6):
        for x in range(1, 8):
            window = t[y - 1 : y + 2, x - 1 : x + 2]
            gx = (window[:, 2] - window[:, 0]) @ [1, 2, 1]
            gy = (window[2] - window[0]) @ [1, 2, 1]
            edges += int(gx**2 + gy**2 >= EDGE**2)
    assert score(tile) == [min(255, edges * SATURATION * 255 // 35)]
    assert score(tile[::-1].copy()) == score(tile[:, ::-1].copy()) == score(255 - tile) == score(tile)


def test_number_of_threads_changes_nothing():
    tiles = [noise(seed) // 8 for seed in range(64)]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(score(*tiles))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]

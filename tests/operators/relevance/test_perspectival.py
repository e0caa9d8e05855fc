"""Salience: whichever of edges, contrast, colours and text stands out most, each by its formula, region by region."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from operators.relevance import TILE
from operators.relevance.perspectival import (
    CENTRE,
    COLOURS,
    CONTRAST,
    CONTRASTS,
    EDGE,
    EDGES,
    STEP,
    SURROUND,
    TEXTS,
    perspectival,
)

GREY = np.full((48, 48, 3), 128, np.uint8)


def salience(tiles, colours=None, text=None):
    """Of tiles with, unless they are given, no colour and no text."""
    tiles = np.stack(tiles)
    colours = np.stack([GREY] * len(tiles) if colours is None else colours)
    text = np.array([0] * len(tiles) if text is None else text, np.uint8)
    found = perspectival(*(torch.from_numpy(rows) for rows in (tiles, colours, text)))
    assert found.dtype == torch.uint8
    return found.tolist()


def flat(count=1, shade=200):
    return [np.full((TILE, TILE), shade, np.uint8)] * count


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (TILE, TILE), np.uint8)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_tile_is_worth_nothing(shade):
    assert salience(flat(shade=shade)) == [0]


def test_smooth_ramp_is_worth_nothing():
    ramp = np.tile(np.linspace(0, 255, TILE).astype(np.uint8), (TILE, 1))
    assert salience([ramp, ramp.T.copy()]) == [0, 0]


def test_noise_and_text_are_worth_all():
    page = Image.new("L", (TILE, TILE), 255)
    for y in range(0, TILE, 12):
        ImageDraw.Draw(page).text((2, y), "dense body text", fill=0)
    assert salience([noise(0), np.asarray(page)]) == [255, 255]


# --- edges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [31, 32, 33])
def test_step_counts_as_an_edge_from_32_grey_levels(step):
    tile = np.zeros((TILE, TILE), np.uint8)
    tile[:, TILE // 2 :] = step
    edges = 2 * (TILE - 2) if 4 * step >= EDGE else 0
    found = edges * EDGES * 255 // (TILE - 2) ** 2
    assert salience([tile, tile.T.copy()]) == [found, found]


def sobel(tile):
    """Pixels of a tile whose Sobel magnitude reaches EDGE, one by one."""
    t = tile.astype(int)
    edges = 0
    for y in range(1, t.shape[0] - 1):
        for x in range(1, t.shape[1] - 1):
            window = t[y - 1 : y + 2, x - 1 : x + 2]
            gx = (window[:, 2] - window[:, 0]) @ [1, 2, 1]
            gy = (window[2] - window[0]) @ [1, 2, 1]
            edges += int(gx**2 + gy**2 >= EDGE**2)
    return edges * EDGES * 255 // ((t.shape[0] - 2) * (t.shape[1] - 2))


# --- contrast -------------------------------------------------------------------------------------------------------


def test_gentle_bump_stands_out_by_its_contrast_alone():
    y, x = np.mgrid[:TILE, :TILE] - TILE / 2
    bump = (200 * np.exp(-(x**2 + y**2) / (2 * 14**2))).astype(np.uint8)
    assert sobel(bump) == 0
    assert salience([bump]) == [contrast(bump)]
    assert contrast(bump) > 0


def contrast(tile):
    """Places of a tile whose centre differs from its surround by CONTRAST, one by one."""
    t, margin = tile.astype(int), (SURROUND - CENTRE) // 2
    found = [
        abs(square[margin:-margin, margin:-margin].mean() - square.mean()) >= CONTRAST
        for y in range(0, t.shape[0] - SURROUND + 1, STEP)
        for x in range(0, t.shape[1] - SURROUND + 1, STEP)
        for square in (t[y : y + SURROUND, x : x + SURROUND],)
    ]
    return min(255, sum(found) * CONTRASTS * 255 // len(found))


# --- colours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "deviation"),
    [
        ((128, 128, 128), (20, 20, 20), 0),
        ((130, 126, 128), (126, 130, 128), 4),  # 8 from red to green, of which half on either side
        ((148, 108, 128), (108, 148, 128), 40),
        ((128, 128, 138), (128, 128, 118), 10),
        ((255, 0, 0), (0, 255, 0), 255),
    ],
)
def test_colours_stand_out_by_what_their_opponents_differ(one, other, deviation):
    halves = np.empty((48, 48, 3), np.uint8)
    halves[:, :24], halves[:, 24:] = one, other
    assert salience(flat(), [halves]) == [min(255, deviation * COLOURS)]


def test_one_colour_over_all_of_a_region_does_not_stand_out():
    red = np.full((48, 48, 3), (250, 10, 30), np.uint8)
    assert salience(flat(), [red]) == [0]


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [0, 1, 40, 84, 85, 86, 255])
def test_region_a_third_of_which_is_text_is_worth_all(text):
    assert salience(flat(), text=[text]) == [min(255, text * TEXTS)]


# --- together -------------------------------------------------------------------------------------------------------


def test_most_salient_of_the_four_counts():
    step = flat()[0].copy()
    step[:, 40:] = 0
    edges = salience([step])[0]
    assert 0 < edges < 255
    assert salience([step], text=[1]) == [edges]
    assert salience([step], text=[80]) == [240]


tiles = arrays(np.uint8, (4, 32, 32))


@settings(max_examples=15, deadline=None)
@given(
    tiles,
    arrays(np.uint8, (4, 6, 6, 3)),
    st.lists(st.integers(0, 20), min_size=4, max_size=4),
    st.permutations(range(4)),
)
def test_value_depends_on_its_region_alone(tiles, colours, text, order):
    together = salience(tiles, colours, text)
    alone = [salience([tile], [seen], [said])[0] for tile, seen, said in zip(tiles, colours, text, strict=True)]
    assert alone == together
    turned = salience(tiles[list(order)], colours[list(order)], [text[i] for i in order])
    assert turned == [together[i] for i in order]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_value_equals_the_formulas_by_hand_and_survives_flips(seed, step):
    blocks = np.random.default_rng(seed).integers(0, 1 + step, (5, 6), np.uint8)
    tile = blocks.repeat(7, 0).repeat(6, 1)
    found = salience([tile])
    assert found == [min(255, max(sobel(tile), contrast(tile)))]
    assert salience([tile[::-1].copy()]) == salience([tile[:, ::-1].copy()]) == salience([255 - tile]) == found


def test_number_of_threads_changes_nothing():
    tiles = [noise(seed) // 8 for seed in range(64)]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(salience(tiles))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]

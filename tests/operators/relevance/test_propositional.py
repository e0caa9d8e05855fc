"""Entropy: 0 for a flat tile, 255 for one that uses all shades, and the same for a tile whatever stands beside it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.relevance import TILE
from operators.relevance.propositional import BINS, propositional


def score(*tiles):
    found = propositional(torch.from_numpy(np.stack(tiles)))
    assert found.dtype == torch.uint8
    return found.tolist()


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (TILE, TILE), np.uint8)


@pytest.mark.parametrize("shade", [0, 7, 128, 255])
def test_flat_tile_is_worth_nothing(shade):
    assert score(np.full((TILE, TILE), shade, np.uint8)) == [0]


def test_uniform_noise_is_worth_nearly_all():
    assert min(score(*map(noise, range(8)))) >= 254


def test_equal_use_of_all_bins_is_worth_all():
    tile = (np.arange(TILE * TILE) % BINS * (256 // BINS)).astype(np.uint8).reshape(TILE, TILE)
    assert score(tile) == [255]


@pytest.mark.parametrize("shades", [2, 4, 8, 16])
def test_equal_shades_are_worth_their_bits(shades):
    tile = (np.arange(TILE * TILE) % shades * (256 // shades)).astype(np.uint8).reshape(TILE, TILE)
    assert score(tile) == [round(math.log2(shades) / math.log2(BINS) * 255)]


def test_noise_within_a_bin_is_flat():
    assert score(np.random.default_rng(1).integers(128, 136, (TILE, TILE), dtype=np.uint8)) == [0]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (6, 8, 8)), st.permutations(range(6)))
def test_value_depends_on_its_tile_alone(tiles, order):
    together = score(*tiles)
    assert [score(tile)[0] for tile in tiles] == together
    assert score(*tiles[list(order)]) == [together[i] for i in order]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (8, 8)), st.randoms(use_true_random=False))
def test_places_of_shades_do_not_count(tile, random):
    shuffled = tile.flatten().tolist()
    random.shuffle(shuffled)
    assert score(np.array(shuffled, np.uint8).reshape(8, 8)) == score(tile)


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (8, 8)))
def test_value_equals_the_textbook_formula(tile):
    shares = np.bincount(tile.flatten() // 8, minlength=BINS) / tile.size
    bits = -sum(share * math.log2(share) for share in shares if share)
    assert abs(score(tile)[0] - bits / math.log2(BINS) * 255) <= 0.5 + 1e-9


def test_number_of_threads_changes_nothing():
    tiles = [noise(seed) for seed in range(64)]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(score(*tiles))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]

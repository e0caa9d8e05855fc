"""Entropy: 0 for a flat tile, 255 for one that uses all shades, and the same for a tile whatever stands beside it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.relevance import TILE
from operators.relevance.crop import grid
from operators.relevance.propositional import BINS, channel_entropy, propositional
from operators.relevance.texture import texture


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


# --- channels of the texture array ----------------------------------------------------------------------------------


def colours_of(seed, count=6):
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48, 3), np.uint8)


def test_channel_entropy_runs_from_the_images_least_to_its_greatest():
    colours = colours_of(0)
    colours[0] = 255
    colours[1, :, :24] = 0
    found = channel_entropy(colours, grid(2, 3))
    assert (found.shape, found.dtype) == ((6,), np.uint8)
    assert (found.min(), found.max()) == (0, 255)


def test_channel_entropy_equals_the_textbook_formula():
    colours, places = colours_of(1, 4), grid(2, 2)
    colours[2] //= 3
    colours[3] = colours[3].mean(axis=(0, 1))
    channels = texture(torch.from_numpy(colours), torch.from_numpy(places), 48).double().numpy()
    powers = np.exp(channels)
    shares = powers / powers.sum(axis=1, keepdims=True)
    bits = -(shares * np.log(shares)).sum(axis=1).mean(axis=(1, 2))
    expected = (bits - bits.min()) / (bits.max() - bits.min()) * 255
    assert np.abs(channel_entropy(colours, places) - expected).max() <= 0.5 + 1e-3


def test_channel_entropy_of_one_region_is_not_stretched():
    assert channel_entropy(colours_of(2, 1), grid(1, 1)).tolist() == [0]


def test_channel_entropy_of_an_image_hangs_on_that_image_alone():
    one, places = colours_of(3), grid(2, 3)
    before = channel_entropy(one, places)
    turned = channel_entropy(one[::-1].copy(), places[::-1].copy())
    assert turned.tolist() == before.tolist()[::-1]

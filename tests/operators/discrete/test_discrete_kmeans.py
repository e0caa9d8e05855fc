import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.discrete.kmeans import Patches, fit
from operators.discrete.patches import psnr
from operators.discrete.quantise import Nearest
from pipeline.errors import ConfigError


def clouds(num: int = 4, each: int = 50) -> np.ndarray:
    rng = np.random.default_rng(1)
    middles = np.array([20, 90, 160, 230])[:num]
    return np.concatenate([rng.integers(m - 5, m + 6, (each, 12), np.int64) for m in middles]).astype(np.uint8)


def test_patches_are_counted_whatever_their_order():
    given = np.array([[3, 1], [0, 9], [3, 1]], np.uint8)
    found = Patches.of(given)
    assert (found.levels.tolist(), found.counts.tolist()) == ([[0, 9], [3, 1]], [1, 2])


def test_codes_stand_in_the_middle_of_clouds():
    codes = fit(Patches.of(clouds()), 4, rounds=20)
    assert sorted(codes.mean(axis=1).round()) == pytest.approx([20, 90, 160, 230], abs=2)


def test_the_same_seed_gives_the_same_codes_in_any_order_of_patches():
    patches = clouds()
    shuffled = np.random.default_rng(5).permutation(patches)
    assert (fit(Patches.of(patches), 9, seed=3) == fit(Patches.of(shuffled), 9, seed=3)).all()
    assert (fit(Patches.of(patches), 9, seed=3) != fit(Patches.of(patches), 9, seed=4)).any()


def test_rounds_bring_codes_nearer():
    patches = Patches.of(np.random.default_rng(0).integers(0, 256, (400, 12)).astype(np.uint8))
    squares = [
        float((Nearest(fit(patches, 16, rounds=rounds)).with_gaps(patches.levels)[1] * patches.counts).sum())
        for rounds in (0, 3, 12)
    ]
    assert squares == sorted(squares, reverse=True)
    assert squares[0] > squares[2]
    middle = (2 * patches.levels.astype(int).sum() + patches.levels.size) // (2 * patches.levels.size)
    baseline = ((patches.levels.astype(int) - middle) ** 2).sum()
    assert psnr(squares[2], patches.levels.size) > psnr(baseline, patches.levels.size)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 50), st.integers(0, 4))
def test_all_codes_differ(num_codes, seed, rounds):
    patches = Patches.of(np.random.default_rng(seed).integers(0, 3, (40, 3)).astype(np.uint8))
    codes = fit(patches, min(num_codes, len(patches.levels)), seed=seed, rounds=rounds)
    assert len(np.unique(codes, axis=0)) == len(codes)


def test_too_few_patches_are_told():
    with pytest.raises(ConfigError, match="2 distinct patches"):
        fit(Patches.of(np.array([[1], [2], [2]], np.uint8)), 3)

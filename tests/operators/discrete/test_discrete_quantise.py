import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.discrete.patches import cut, joined, psnr
from operators.discrete.quantise import Nearest


def brute_force(vectors: np.ndarray, codes: np.ndarray) -> list[int]:
    """argmin ‖z‖² + ‖e‖² - 2 z·e in Python's integers, of equals the first."""
    found = []
    for z in vectors.tolist():
        gaps = [sum(a * a for a in z) + sum(b * b for b in e) - 2 * sum(map(int.__mul__, z, e)) for e in codes.tolist()]
        found.append(gaps.index(min(gaps)))
    return found


def test_toy_codebook():
    codes = np.array([[0, 0], [4, 0], [0, 4], [4, 4]])
    vectors = np.array([[1, 1], [3, 1], [1, 3], [9, 9], [2, 2], [2, 0], [4, 2]])
    assert Nearest(codes)(vectors).tolist() == [0, 1, 2, 3, 0, 0, 1]  # the last three are ties: the lowest wins


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.just(12))),
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.just(12)), elements=st.sampled_from([0, 1, 127, 128, 255])),
)
def test_the_nearest_code_is_that_of_brute_force(vectors, codes):
    assert Nearest(codes)(vectors).tolist() == brute_force(vectors.astype(int), codes.astype(int))


def test_codes_do_not_depend_on_how_many_are_asked_for_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    codes, vectors = rng.integers(0, 256, (64, 48)), rng.integers(0, 256, (500, 48))
    whole = Nearest(codes)(vectors)
    monkeypatch.setattr("operators.discrete.quantise.CHUNK", 64 * 7)
    assert (Nearest(codes)(vectors) == whole).all()


def test_a_gap_is_the_squared_distance():
    nearest, gaps = Nearest(np.array([[0, 0], [10, 10]])).with_gaps(np.array([[1, 2], [9, 10]]))
    assert (nearest.tolist(), gaps.tolist()) == ([0, 1], [5.0, 1.0])


def test_no_vector_has_no_code():
    assert Nearest(np.zeros((3, 4)))(np.zeros((0, 4))).shape == (0,)


def test_a_picture_is_cut_and_joined_again():
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    patches = cut(picture, 8)
    assert patches.shape == (6, 192)
    assert (patches[1].reshape(8, 8, 3) == picture[:8, 8:16]).all()
    assert (joined(patches, 2, 3, 8) == picture).all()


def test_psnr():
    assert psnr(255**2 * 10, 10) == 0
    assert psnr(100, 10000) == pytest.approx(68.13, abs=0.01)
    assert psnr(0, 5) == float("inf")

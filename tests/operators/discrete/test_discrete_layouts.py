import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from operators.discrete.layouts import LAYOUTS, DiscreteIds, codes_of, discrete_runs, emu3_size, sequence
from pipeline.errors import InputError
from pipeline.types import Modality

FIRST = 1000


def grid(layout, width, height, downsample):
    picture = LAYOUTS[layout].prepare(Image.new("RGB", (width, height)))
    assert picture.size == LAYOUTS[layout].size(width, height)
    return picture.height // downsample, picture.width // downsample


def ids_of(pieces):
    return [i for i, _ in pieces]


def encode(text):
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("size", "rows", "cols"),
    [((224, 224), 64, 64), ((640, 480), 60, 80), ((1024, 1024), 128, 128), ((1920, 1080), 96, 170)],
)
def test_grids_of_emu3(size, rows, cols):
    assert grid("emu3", *size, 8) == (rows, cols)


def test_tokens_of_emu3_are_its_grid_an_end_for_each_row_and_four_marks_with_the_size():
    codes = np.zeros((64, 64), np.int32)
    assert len(sequence(codes, DiscreteIds("emu3", FIRST, 32768), encode)) == 4096 + 64 + 4 + len("64*64")


@pytest.mark.parametrize("size", [(1000, 50), (50, 1000), (7, 7)])
def test_emu3_refuses_slivers(size):
    with pytest.raises(InputError, match="at most 5:1"):
        emu3_size(*size)


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (480, 640), (1920, 1080), (33, 3000)])
def test_chameleon_has_1026_tokens(size):
    rows, cols = grid("chameleon", *size, 16)
    assert (rows, cols) == (32, 32)
    pieces = sequence(np.zeros((rows, cols), np.int32), DiscreteIds("chameleon", FIRST, 8192), encode)
    assert len(pieces) == 1026
    assert (pieces[0], pieces[-1]) == ((FIRST + 8192, Modality.DISCRETE), (FIRST + 8193, Modality.DISCRETE))


@pytest.mark.parametrize(("downsample", "tokens"), [(16, 256), (8, 1024)])
def test_llamagen_has_its_codes_alone(downsample, tokens):
    rows, cols = grid("llamagen", 700, 900, downsample)
    pieces = sequence(np.zeros((rows, cols), np.int32), DiscreteIds("llamagen", FIRST, 16384), encode)
    assert len(pieces) == tokens


@pytest.mark.parametrize("layout", ["chameleon", "llamagen"])
def test_squares_are_cut_from_the_middle(layout):
    picture = Image.new("RGB", (3000, 1000))
    picture.paste((255, 0, 0), (1000, 0, 2000, 1000))
    middle = np.asarray(LAYOUTS[layout].prepare(picture))
    assert (middle[:, 8:-8] == (255, 0, 0)).all()


@pytest.mark.parametrize("layout", ["chameleon", "llamagen"])
def test_squares_refuse_slivers(layout):
    with pytest.raises(InputError, match="200:1"):
        LAYOUTS[layout].prepare(Image.new("RGB", (5000, 20)))


def test_an_emu3_sequence():
    ids = DiscreteIds("emu3", FIRST, 10)
    boi, img, eol, eof, eoi = range(FIRST + 10, FIRST + 15)
    pieces = sequence(np.array([[1, 2], [3, 4]]), ids, encode)
    assert ids_of(pieces) == [boi, *b"2*2", img, 1001, 1002, eol, 1003, 1004, eol, eof, eoi]
    assert [i for i, kind in pieces if kind == Modality.MARKER] == [*b"2*2"]


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_ids_lie_behind_the_vocabulary_and_give_the_codes_back(layout, rows, cols, seed):
    ids = DiscreteIds(layout, FIRST, 50)
    codes = np.random.default_rng(seed).integers(0, 50, (rows, cols)).astype(np.int32)
    pieces = sequence(codes, ids, encode)
    assert all((FIRST <= i < FIRST + ids.size) == (kind == Modality.DISCRETE) for i, kind in pieces)
    assert (codes_of(np.array(ids_of(pieces)), ids, rows, cols) == codes).all()
    runs = discrete_runs(codes, ids, encode)
    assert [run["id"] for run in runs for _ in range(run["count"])] == ids_of(pieces)
    assert {run["view"] for run in runs} == {-1}


def test_a_missing_code_is_told():
    with pytest.raises(ValueError, match="3 codes; 2 rows of 2"):
        codes_of(np.arange(FIRST, FIRST + 3), DiscreteIds("llamagen", FIRST, 9), 2, 2)

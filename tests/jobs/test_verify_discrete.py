"""The check of pictures that are written as ids knows each layout, and finds what is out of place in it."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobs.verify.discrete import _coded_size, _is_chosen, choice_faults, discrete_faults
from jobs.verify.records import Discrete
from operators.discrete.config import DiscreteConfig
from operators.discrete.layouts import LAYOUTS, DiscreteIds, discrete_runs, emu3_size
from operators.profiles import load_profile
from operators.tokenizers.opening import open_tokenizer
from tests.support import ROOT

FIRST, CODES = 9000, 64
SIDES = {"chameleon": 16, "emu3": 8, "llamagen": 16}


@pytest.fixture(scope="module")
def tokenizer():
    path = ROOT / "jobs/samples/tokenizer.model"
    return open_tokenizer(path.read_bytes(), load_profile("qwen2_5_vl").tokens.literals(), str(path))


def record(layout, images="all"):
    fields = {"layout": layout, "images": images, "train": True, "codes": CODES, "first_id": FIRST}
    return Discrete(**fields, downsample=SIDES[layout])


def image(layout, tokenizer, size=(300, 200)):
    """Plan and runs of a picture of any codes."""
    width, height = LAYOUTS[layout].size(*size)
    rows, cols = height // SIDES[layout], width // SIDES[layout]
    codes = np.random.default_rng(0).integers(0, CODES, (rows, cols)).astype(np.int32)
    runs = discrete_runs(codes, DiscreteIds(layout, FIRST, CODES), lambda text: tokenizer.encode([text])[0])
    plan = {"scheme": "discrete", "width": size[0], "height": size[1], "grid_h": rows, "grid_w": cols}
    return plan | {"views": [], "canvas": None}, runs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sound_picture_has_no_fault(layout, tokenizer):
    plan, runs = image(layout, tokenizer)
    assert not [*discrete_faults(plan, runs, record(layout), tokenizer)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_out_of_place_is_found(layout, tokenizer):
    plan, runs = image(layout, tokenizer)

    def faults(plan=plan, runs=runs, discrete=record(layout)):  # noqa: B008 - a frozen record
        return " | ".join(discrete_faults(plan, runs, discrete, tokenizer))

    assert "no codebook" in faults(discrete=None)
    assert "1 views; none expected" in faults(plan | {"views": [{}]})
    assert "codes; " in faults(plan | {"grid_h": plan["grid_h"] + 1})
    assert f"{plan['grid_h'] * plan['grid_w']} expected" in faults(runs=runs[:5])
    assert "features replace some" in faults(runs=[runs[0] | {"view": 0}, *runs[1:]])
    assert "modality" in faults(runs=[runs[0] | {"modality": 1}, *runs[1:]])
    if layout != "llamagen":
        assert "another order" in faults(runs=[runs[-1], *runs[1:-1], runs[0]])
        assert "another order" in faults(runs=runs[:-1])


@given(st.integers(8, 3000), st.integers(8, 3000))
def test_emu3_is_sized_as_the_build_sizes_it(width, height):
    assume(max(width, height) <= 5 * min(width, height))
    assert _coded_size(height, width, "emu3") == emu3_size(width, height)[::-1]


@given(st.floats(0.01, 1), st.integers(0, 99), st.integers(0, 9))
def test_a_share_is_chosen_as_the_build_chooses_it(share, ordinal, segment):
    config = DiscreteConfig(codebook="-", layout="emu3", images=share)
    identity = {"shard": "a.tar", "ordinal": ordinal}
    found = _is_chosen(identity, segment, 0, record("emu3", share))
    assert found == config.chooses("a.tar", ordinal, segment, 0)


def document(*schemes, dropped=()):
    segments = [{"number": i, "plan": {"scheme": scheme}} for i, scheme in enumerate(schemes)]
    return {"id": {"shard": "a.tar", "ordinal": 0}, "segments": segments, "dropped": [*dropped]}


def test_a_picture_that_was_not_chosen_is_found():
    every_second = record("emu3", "alternate")
    sound, wrong = document("qwen", "discrete"), document("discrete", "qwen")
    assert not [*choice_faults(sound, every_second, is_derived=False)]
    assert len([*choice_faults(wrong, every_second, is_derived=False)]) == 2
    assert not [*choice_faults(wrong, every_second, is_derived=True)]
    assert not [*choice_faults(document("discrete", dropped=[{}]), every_second, is_derived=False)]
    assert len([*choice_faults(document("discrete", "qwen"), record("emu3"), is_derived=False)]) == 1

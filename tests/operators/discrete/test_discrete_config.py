import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.discrete.config import DiscreteConfig


def config(images, **fields):
    return DiscreteConfig(codebook="book.safetensors", layout="emu3", images=images, **fields)


def chosen(images, number=2000):
    return [config(images).chooses("a.tar", i // 4, i, i % 4) for i in range(number)]


def test_all_are_chosen_or_every_second_of_a_document():
    assert all(chosen("all", 20))
    assert chosen("alternate", 8) == [False, True, False, True] * 2


def test_a_share_of_pictures_is_chosen():
    assert sum(chosen(0.3)) == pytest.approx(600, abs=60)
    assert all(chosen(1.0, 50))


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_keeps_what_a_smaller_one_chose(one, other):
    less, more = sorted((round(one, 3), round(other, 3)))
    assert all(b or not a for a, b in zip(chosen(less, 50), chosen(more, 50), strict=True))


@pytest.mark.parametrize("images", [0, 1.5, "some", -1])
def test_no_other_choice_is_taken(images):
    with pytest.raises(ValidationError):
        config(images)

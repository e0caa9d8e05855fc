"""Runs are counted as the published filters count them, exactly."""

from collections import Counter
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.filters.repetition import (
    CharacterRepetition,
    NodeCharacterRepetition,
    NodeWordRepetition,
    WordRepetition,
    character_repetition,
    run_counts,
    word_repetition,
)
from tests.operators.filters.making import PROSE, dropped, rejects


def plainly(items, length):
    return sorted(Counter(tuple(items[i : i + length]) for i in range(len(items) - length + 1)).values(), reverse=True)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 12))
def test_runs_are_counted_as_a_dictionary_counts_them(codes, length):
    assert run_counts(np.array(codes, np.int64), length).tolist() == plainly(codes, length)


@given(st.text("ab ", max_size=80))
def test_character_repetition_is_the_published_ratio(text):
    counts = plainly(text, 10)
    ones = sum(count == 1 for count in counts)
    top = counts[: min(isqrt(len(counts)), len(counts) - ones)]
    assert character_repetition(text, 10) == (sum(top) / sum(counts) if counts else 0)


def test_goldens_of_repetition():
    assert character_repetition("a" * 30, 10) == 1
    assert character_repetition("abcdefghijklm", 10) == 0
    assert character_repetition("abc", 10) == 0
    assert word_repetition("one two three four five", 5) == 0
    assert word_repetition("one two three four five one two three four five", 5) == pytest.approx(2 / 6)
    assert word_repetition("One two, three four five. one TWO three four five!", 5) == pytest.approx(2 / 6)


def test_texts_that_say_the_same_again_and_again_go_and_prose_stays():
    assert CharacterRepetition.reason == "filter-character-repetition"
    assert WordRepetition.reason == "filter-word-repetition"
    again = "Buy it now in our shop. " * 12
    for rule in (NodeCharacterRepetition(), NodeWordRepetition()):
        assert dropped(rule, PROSE, again, "short") == [1]
    for rule in (CharacterRepetition(), WordRepetition()):
        assert rejects(rule, *["Buy it now in our shop."] * 12)
        assert not rejects(rule, PROSE, "And so on.")


def test_the_threshold_itself_is_allowed():
    # 26 runs of 5 words, of which 2 are the same.
    text = " ".join(["one two three four five"] + [f"w{chr(97 + i)}" for i in range(20)] + ["one two three four five"])
    share = word_repetition(text, 5)
    assert share == 2 / 26
    assert dropped(NodeWordRepetition(max=share), text) == []
    assert dropped(NodeWordRepetition(max=share - 1e-9), text) == [0]

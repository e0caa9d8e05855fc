"""Which segments are of one step."""

import pytest
from hypothesis import given
from letters import QUICKLY, document, documents


@pytest.mark.parametrize(
    ("letters", "turns", "steps", "head"),
    [
        ("aAbBcC", None, ["aA", "bB", "cC"], ""),
        ("AaBbCc", None, ["Aa", "Bb", "Cc"], ""),
        ("abABcC", None, ["abAB", "cC"], ""),
        ("ABabC", None, ["ABab", "C"], ""),
        ("aAb", None, ["aA", "b"], ""),
        ("ab", None, ["ab"], ""),
        ("", None, [], ""),
        ("tsaAbBc", "0011223", ["aA", "bB", "c"], "ts"),
        ("aAbB", "1111", ["aAbB"], ""),
        ("AabB", "1123", ["Aa", "b", "B"], ""),
    ],
)
def test_steps_are_numbered_by_the_format_or_pairs_of_what_the_document_begins_with(letters, turns, steps, head):
    found = document(letters, turns)
    assert ["".join(letters[i] for i in step) for step in found.steps] == steps
    assert "".join(letters[i] for i in found.head) == head


@QUICKLY
@given(documents())
def test_every_segment_is_of_one_step_or_before_the_first(found):
    assert sorted([*found.head, *(i for step in found.steps for i in step)]) == list(range(len(found.contents)))


@pytest.mark.parametrize(
    ("letters", "turns", "expected"),
    [("aAbB", None, True), ("aA", None, False), ("abc", "123", False), ("AB", "12", False), ("tAB", "012", False)],
)
def test_a_document_has_views_if_it_has_two_steps_with_a_text_and_an_image(letters, turns, expected):
    assert document(letters, turns).has_views == expected

"""Texts that are hardly text go; the threshold itself is allowed."""

from operators.filters.special_characters import NodeSpecialCharacters, SpecialCharacters
from tests.operators.filters.making import PROSE, dropped, rejects


def test_up_to_three_in_ten_of_a_text_may_be_no_letters():
    assert SpecialCharacters.reason == "filter-special-characters"
    assert dropped(NodeSpecialCharacters(), "abcdefg123", "abcdef1234", "", PROSE, "Это предложение.") == [1]


def test_up_to_275_in_1000_of_a_document_may_be_no_letters():
    assert not rejects(SpecialCharacters(), "a" * 725 + "1" * 275)
    assert rejects(SpecialCharacters(), "a" * 724 + "1" * 276)
    assert not rejects(SpecialCharacters(), PROSE)
    assert not rejects(SpecialCharacters())

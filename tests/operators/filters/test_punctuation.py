"""A document has three marks to a hundred words."""

from operators.filters.punctuation import Punctuation
from tests.operators.filters.making import PROSE, rejects


def test_three_marks_to_a_hundred_words_are_enough():
    assert Punctuation.reason == "filter-punctuation"
    assert not rejects(Punctuation(), "word " * 100 + "...")
    assert rejects(Punctuation(), "word " * 100 + "..")
    assert not rejects(Punctuation(), PROSE)
    assert not rejects(Punctuation(), "这是一个句子。")


def test_a_document_without_words_is_not_judged():
    assert not rejects(Punctuation())
    assert not rejects(Punctuation(), "1 2 3")

"""4 to 1,000 words a text, 10 to 2,000 a document."""

import pytest
from pydantic import ValidationError

from operators.filters.words import NodeWords, Words
from tests.operators.filters.making import dropped, rejects


def test_4_to_1000_words_of_a_text_are_kept():
    assert NodeWords.reason == Words.reason == "filter-words"
    texts = [" ".join(["word"] * count) for count in (0, 3, 4, 1000, 1001)]
    assert dropped(NodeWords(), *texts) == [0, 1, 4]


def test_10_to_2000_words_of_a_document_are_kept_whatever_their_texts():
    verdicts = {n: rejects(Words(), "word", " word" * (n - 1)) for n in (9, 10, 2000, 2001)}
    assert verdicts == {9: True, 10: False, 2000: False, 2001: True}
    with pytest.raises(ValidationError, match="min is 9 and max 8"):
        Words(min=9, max=8)

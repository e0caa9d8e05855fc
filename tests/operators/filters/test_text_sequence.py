"""Texts are judged by their words alone, or by what a model of the user's said beforehand."""

import pytest
from pydantic import ValidationError

from operators.filters.text_sequence import TextSequence
from tests.operators.filters.making import image, rejects
from tests.operators.filters.test_given_scores import lines
from tests.operators.filters.test_lexical import STORY, UNRELATED


def test_by_words_a_story_stays_and_unrelated_texts_and_repetition_go():
    assert TextSequence.reason == "filter-text-sequence"
    assert not rejects(TextSequence(), *STORY)
    assert rejects(TextSequence(), *UNRELATED)
    assert rejects(TextSequence(), *[STORY[0]] * 3)
    assert not rejects(TextSequence(min=0), *UNRELATED)
    assert not rejects(TextSequence(), STORY[0], image())


def test_scores_of_a_file_are_compared_on_their_own_scale(tmp_path):
    path = lines(tmp_path / "llm.jsonl", {"key": "a", "score": 7}, {"key": "b", "score": 6.9})
    rule = TextSequence(scorer=path, min=7)
    assert [rejects(rule, *UNRELATED, key=key) for key in "abc"] == [False, True, True]
    assert (rule.files(), TextSequence().files()) == ((path,), ())
    with pytest.raises(ValidationError, match=r"min is missing: say which scores of .*llm\.jsonl are too low"):
        TextSequence(scorer=path)
    with pytest.raises(ValidationError, match=r"gpt is no file of scores"):
        TextSequence(scorer="gpt", min=7)

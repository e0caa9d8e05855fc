"""Perplexities are the user's own, and a document without one is rejected."""

import pytest
from pydantic import ValidationError

from operators.filters.perplexity import Perplexity
from tests.operators.filters.making import rejects
from tests.operators.filters.test_given_scores import lines


def test_up_to_1500_is_kept_and_what_has_none_is_rejected(tmp_path):
    assert Perplexity.reason == "filter-perplexity"
    rows = ({"key": "a", "score": 1500}, {"key": "b", "score": 1500.1})
    rule = Perplexity(scores=lines(tmp_path / "p.jsonl", *rows))
    assert [rejects(rule, "text", key=key) for key in "abc"] == [False, True, True]
    assert rule.files() == (str(tmp_path / "p.jsonl"),)


def test_it_needs_its_file():
    with pytest.raises(ValidationError, match="Field required"):
        Perplexity()
    with pytest.raises(ValidationError, match=r"no scores at /gone\.jsonl"):
        Perplexity(scores="/gone.jsonl")

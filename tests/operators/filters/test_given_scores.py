"""Scores of a file are read by key, from lines of JSON or Parquet, and anything else is refused in a line."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.filters.given_scores import given_scores


def lines(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(path)


def test_lines_and_parquet_say_the_same(tmp_path):
    rows = [{"key": "a", "score": 3, "why": "so"}, {"key": "ä/b", "score": -0.5}]
    pq.write_table(pa.table({"score": [3.0, -0.5], "key": ["a", "ä/b"]}), tmp_path / "s.parquet")
    expected = {"a": 3.0, "ä/b": -0.5}
    assert given_scores(lines(tmp_path / "s.jsonl", *rows)) == expected
    assert given_scores(str(tmp_path / "s.parquet")) == expected


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = lines(tmp_path / "s.jsonl", {"key": "a", "score": 1})
    assert given_scores(path) == {"a": 1}
    lines(tmp_path / "s.jsonl", {"key": "a", "score": 2})
    os.utime(path, ns=(1, 1))
    assert given_scores(path) == {"a": 2}


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{"key": "a"}], "row 1: a text as key and a number as score expected"),
        ([{"key": "a", "score": 1}, {"key": 7, "score": 1}], "row 2: a text as key"),
        ([{"key": "a", "score": True}], "row 1: a text as key"),
        ([["a", 1]], "row 1: a text as key"),
        ([{"key": "a", "score": 10**400}], "row 1: score inf is no number to compare"),
        ([{"key": "a", "score": float("nan")}], "row 1: score nan is no number to compare"),
        ([{"key": "a", "score": 1}, {"key": "a", "score": 1}], "row 2: key 'a' stands there twice"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, rows, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        given_scores(lines(tmp_path / "s.jsonl", *rows))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_scores_is_refused(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "half.parquet")
    cases = (
        ("s.csv", "is no file of scores; a .jsonl or .parquet"),
        ("gone.jsonl", "no scores at .*gone.jsonl: No such file"),
        ("torn.parquet", "does not open"),
        ("half.parquet", "columns key and score are not both there"),
    )
    for name, fault in cases:
        with pytest.raises(ValueError, match=fault) as caught:
            given_scores(str(tmp_path / name))
        assert "\n" not in str(caught.value)

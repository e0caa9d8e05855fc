"""Scores of tokens are read by document and image, from lines of JSON or Parquet; all else is refused in a line."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.reduction.supplied import GREATEST, supplied_scores

ROWS = [{"key": "a", "image": 0, "scores": [0.5, -1.0, 0.25]}, {"key": "a", "image": 1, "scores": [3]}]


def lines(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(path)


def test_lines_and_parquet_say_the_same(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "s.parquet")
    for path in (lines(tmp_path / "s.jsonl", *ROWS), str(tmp_path / "s.parquet")):
        found = supplied_scores(path)
        assert set(found) == {("a", 0), ("a", 1)}
        assert found["a", 0].tolist() == [GREATEST // 2, -GREATEST, GREATEST // 4]
        assert found["a", 1].tolist() == [GREATEST]


def test_order_and_shares_are_those_of_the_file(tmp_path):
    values = np.random.default_rng(0).random(500).tolist()
    found = supplied_scores(lines(tmp_path / "s.jsonl", {"key": "k", "image": 2, "scores": values}))["k", 2]
    assert np.argsort(found, kind="stable").tolist() == np.argsort(values).tolist()
    assert np.allclose(found / found.sum(), np.array(values) / sum(values), atol=1e-6)
    zeros = supplied_scores(lines(tmp_path / "z.jsonl", {"key": "k", "image": 0, "scores": [0, 0]}))
    assert zeros["k", 0].tolist() == [0, 0]


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = lines(tmp_path / "s.jsonl", ROWS[0])
    assert len(supplied_scores(path)) == 1
    lines(tmp_path / "s.jsonl", *ROWS)
    os.utime(path, ns=(1, 1))
    assert len(supplied_scores(path)) == 2


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{"key": "a", "scores": [1]}], "row 1: a text as key"),
        ([ROWS[0], {"key": "a", "image": -1, "scores": [1]}], "row 2: a text as key"),
        ([{"key": "a", "image": 1.5, "scores": [1]}], "row 1: a text as key"),
        ([{"key": "a", "image": 1e999, "scores": [1]}], "row 1: a text as key"),
        ([{"key": "a", "image": 0, "scores": 1}], "row 1: a text as key"),
        ([{"key": "a", "image": 0, "scores": [1, None]}], "row 1: a text as key"),
        ([{"key": "a", "image": 0, "scores": [1, float("nan")]}], "row 1: a text as key"),
        ([ROWS[0], ROWS[0]], "row 2: image 0 of key 'a' stands there twice"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, rows, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        supplied_scores(lines(tmp_path / "s.jsonl", *rows))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_scores_is_refused(tmp_path):
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "half.parquet")
    cases = (
        ("s.csv", "with key and image and scores is expected"),
        ("gone.jsonl", "no scores at"),
        ("half.parquet", "are not all there"),
    )
    for name, fault in cases:
        with pytest.raises(ValueError, match=fault):
            supplied_scores(str(tmp_path / name))

"""Where everything stands can be told at any time, and only what moves counts as moving."""

from __future__ import annotations

import time

import pyarrow as pa

from pipeline.monitor import Monitor, place_of
from pipeline.tasks import TASK

ROWS = pa.table({"unit": [3, 3], "shard": ["a.tar", "b.tar"], "ordinal": [7, 8], "key": ["x/1", "x/2"], "more": [1, 2]})


def test_rows_are_named_by_the_last_of_them() -> None:
    assert place_of(ROWS) == "unit 3, 2 rows to b.tar, sample 8 (x/2)"
    end = pa.table({"unit": [3], "shard": ["b.tar"], "ordinal": [9], "key": [""]})
    assert place_of(end) == "unit 3, 1 rows to b.tar, the end behind sample 9"
    task = {"unit": 2, "unit_id": "ab", "kind": "data", "number": 4, "note": "", "payload": b""}
    assert place_of(pa.Table.from_pylist([task], TASK)) == "unit 2, data file 4"
    assert place_of(ROWS.slice(0, 0)) == "no rows"


def test_nothing_is_said_before_the_time_is_over_and_the_longest_holder_is_named_first() -> None:
    monitor = Monitor()
    monitor.begin("a", "decode", "unit 0, 2 rows to s.tar, sample 4 (k)")
    monitor.begin("b", "score", "unit 1, 2 rows to t.tar, sample 6 (l)")
    assert monitor.stall(60) is None
    said = monitor.stall(0)
    assert said is not None
    assert said.index("decode has held unit 0") < said.index("score has held unit 1")
    monitor.end("a", 2, 0.5)
    assert "decode" not in (monitor.stall(0) or "")
    assert monitor.rows() == {"decode": 2}


def test_where_nobody_holds_rows_it_is_told_who_had_them_last() -> None:
    monitor = Monitor()
    assert "none ever did" in (monitor.stall(0) or "")
    monitor.begin("a", "pack", "unit 0, 2 rows to s.tar, sample 4 (k)")
    monitor.end("a", 2, 0.5)
    assert "no operator holds any rows (pack last let go of unit 0" in (monitor.stall(0) or "")


def test_a_worker_that_began_again_holds_only_the_last_of_its_rows_and_beginning_moves_nothing() -> None:
    monitor = Monitor()
    time.sleep(0.05)
    monitor.begin("a", "decode", "unit 0, first")
    monitor.begin("a", "decode", "unit 0, second")
    said = monitor.stall(0.04)
    assert said is not None
    assert "first" not in said
    monitor.beat()
    assert monitor.stall(0.04) is None

"""A run says how long each operator worked, and the report draws it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from jobs.inspect.output import open_output
from jobs.report.gathering import collect
from jobs.report.page import render
from jobs.report.times import CHAIN, in_order, times
from pipeline.errors import ConfigError
from pipeline.monitor import Monitor, Telling
from tests.support import build, write_small_shards

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "pixels=none")
NUM_SHARDS, PER_SHARD = 2, 3


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("times")
    began = time.perf_counter()
    summary = build(folder / "out", write_small_shards(folder / "in", NUM_SHARDS, PER_SHARD), *FIELDS)
    summary["wall"] = time.perf_counter() - began
    (folder / "out" / "summary.json").write_text(json.dumps(summary))
    return folder / "out"


def test_operators_of_a_local_run_worked_no_longer_than_it_took_and_let_every_row_go(output: Path) -> None:
    summary = json.loads((output / "summary.json").read_text())
    operators = summary["operators"]
    assert set(operators) == {"read", "decode", "slice", "tokenize", "pack", "write"}
    assert all(done["seconds"] > 0 for done in operators.values())
    assert sum(done["seconds"] for done in operators.values()) <= summary["wall"]
    samples = NUM_SHARDS * (PER_SHARD + 1)  # and an end of each shard
    rows = {name: done["rows"] for name, done in operators.items()}
    assert rows == dict.fromkeys(("read", "decode", "slice", "tokenize", "pack"), samples) | {"write": 3 * NUM_SHARDS}
    assert {name: done["tables"] for name, done in operators.items() if name != "write"} == dict.fromkeys(
        ("read", "decode", "slice", "tokenize", "pack"), NUM_SHARDS
    )
    assert open_output(str(output)).newest_run()["outcome"]["operators"] == operators


def test_a_run_that_finds_nothing_to_do_says_that_no_operator_worked(output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "out")
    shards = str(output.parent / "in" / f"small-{{000000..{NUM_SHARDS - 1:06d}}}.tar")
    assert build(tmp_path / "out", shards, *FIELDS)["operators"] == {}


def test_the_report_draws_the_time_of_each_run(output: Path) -> None:
    content = collect(open_output(str(output)), 0)
    (run,) = content["runs"]
    assert content["operators"] == ["read", "decode", "slice", "tokenize", "pack", "write"]
    page = render(content).decode()
    _, _, runs = page.partition('<section id="runs">')
    runs, _, _ = runs.partition("</section>")
    assert runs.count('<rect class="operator-') == 2 * len(run["times"])  # in the legend and in the bar
    assert f"tokenize: {run['times'][3]['seconds']:.1f} s" in runs
    assert render(content | {"runs": [run | {"times": []}], "operators": []})


def test_shares_stand_in_the_order_of_the_chain_and_make_a_whole() -> None:
    done = {"rows": 4, "tables": 1}
    found = times(
        {name: done | {"seconds": 2.0} for name in ("write", "own", "read")} | {"pack": done | {"seconds": 0}}
    )
    assert [part["name"] for part in found] == ["read", "write", "own"]
    assert sum(part["share"] for part in found) == pytest.approx(1)
    assert [part["start"] for part in found] == pytest.approx([0, 1 / 3, 2 / 3])
    assert times({}) == []
    assert in_order(reversed(CHAIN)) == list(CHAIN)


def test_seconds_are_taken_where_the_work_is_and_waits_are_none_of_them() -> None:
    monitor = Monitor()
    monitor.open(3)
    telling = Telling("a", monitor.begin, monitor.end)
    telling.begin("pack", "unit 3")
    time.sleep(0.02)
    telling.end(0)
    time.sleep(0.2)
    telling.begin("pack", "unit 3")
    telling.end(7)
    work, ages = monitor.news()
    assert work.keys() == {"pack"}
    assert (work["pack"]["rows"], work["pack"]["tables"]) == (7, 1)
    assert 0.02 <= work["pack"]["seconds"] < 0.2
    assert ages[3] > 0.2
    assert monitor.news()[0] == {}
    assert monitor.news()[1].keys() == {3}


def test_a_record_whose_times_are_none_is_told_as_damaged(output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "out")
    (path,) = (tmp_path / "out" / "runs").glob("*.json")
    record = json.loads(path.read_text())
    record["outcome"]["operators"]["read"]["seconds"] = "long"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"is damaged: outcome\.operators\.read\.seconds"):
        collect(open_output(str(tmp_path / "out")), 0)

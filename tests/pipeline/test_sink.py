"""What the sink commits is of one try of a unit, is there, and is what the manifest on the store says."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.chain import build_chain, resolve_job
from jobs.spec import load_job
from pipeline.errors import StorageError
from pipeline.local_runner import run_local
from pipeline.planning import make_plan
from pipeline.sink import Sink
from tests.support import QUICKSTART, ROOT, write_small_shards


@pytest.fixture
def made(tmp_path: Path) -> tuple[Sink, list[pa.Table], Path]:
    """A sink that waits for one unit, the unit's reports, and the output where their files are."""
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "score=null", "budget=none", "pixels=none"]
    shards = write_small_shards(tmp_path / "in", 1, 4)
    job = load_job(str(QUICKSTART), fields, input__shards=shards, output=str(tmp_path / "out"))
    resolved = resolve_job(job)
    options = {"target_shards": 1, "limit": None, "rebuild": False, "may_replan": lambda *_: False}
    plan = make_plan(str(tmp_path / "out"), resolved.inputs, resolved.recipe, **options)
    reports = list(run_local(build_chain(resolved), plan.todo, lambda *_: None, lambda _: None, lambda _: None))
    return Sink(str(tmp_path / "out"), plan, 1.0), reports, tmp_path / "out"


def of_plan(table: pa.Table, plan: str) -> pa.Table:
    place = table.schema.get_field_index("plan")
    return table.set_column(place, "plan", pa.array([plan] * table.num_rows))


def test_reports_of_two_tries_that_packed_otherwise_are_not_mixed(made: tuple[Sink, list[pa.Table], Path]) -> None:
    sink, reports, _ = made
    first, *others = reports
    assert sink.add(of_plan(first, "of an earlier try")) == {0}
    for table in others:
        assert sink.add(table) == {0}
    assert sink.add(first) == set()


def test_a_file_that_is_gone_keeps_its_unit_open(made: tuple[Sink, list[pa.Table], Path]) -> None:
    sink, reports, output = made
    next((output / "data").iterdir()).unlink()
    *others, last = reports
    for table in others:
        sink.add(table)
    with pytest.raises(StorageError, match="is gone before its commit"):
        sink.add(last)
    assert sink.left == {0}
    assert not (output / "manifests").exists()


def test_whoever_loses_the_race_takes_what_the_winner_committed(made: tuple[Sink, list[pa.Table], Path]) -> None:
    sink, reports, output = made
    identity = reports[0]["unit_id"][0].as_py()
    for table in reports[:-1]:
        sink.add(table)
    winner = Sink(sink._output, sink._plan, 1.0)
    for table in reports:
        winner.add(table)
    path = output / "manifests" / f"{identity}.json"
    other = json.loads(path.read_text()) | {"reasons": {"decode-timeout": 1}}
    path.write_text(json.dumps(other))
    sink.add(reports[-1])
    assert sink.manifests[identity]["reasons"] == {"decode-timeout": 1}

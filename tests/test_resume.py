"""What a run keeps of an earlier one, and what it must not keep."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jobs import chain as jobs_chain
from operators.write import Write
from pipeline.errors import StorageError
from tests.support import build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048")


def test_leftovers_of_a_killed_run_disturb_nobody(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 2, 3)
    build(tmp_path / "out", shards, *SMALL)
    before = tree(tmp_path / "out")
    cache = tmp_path / "out" / "runs" / "shards"
    (cache / ".half.json.1234").touch()
    (cache / "empty.json").touch()
    (tmp_path / "out" / "runs" / "tmp" / "other-host.1.abc").touch()
    assert build(tmp_path / "out", shards, *SMALL)["units"]["built"] == 0
    shutil.rmtree(tmp_path / "out" / "runs")
    assert build(tmp_path / "out", shards, *SMALL)["units"]["built"] == 0
    assert tree(tmp_path / "out") == before


def test_a_limited_unit_is_another_unit_when_other_samples_of_it_are_taken(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "a", 2, 6)
    write_small_shards(tmp_path / "b", 2, 9)
    first = build(tmp_path / "out", shards, *SMALL, "limit=10")
    assert first["totals"]["samples"]["packed"] == 10
    (tmp_path / "b" / "small-000000.tar").replace(tmp_path / "a" / "small-000000.tar")  # now of nine
    second = build(tmp_path / "out", shards, *SMALL, "limit=10")
    counts = second["totals"]["samples"]
    assert (counts["packed"], counts["read"] - counts["withheld"]) == (10, 10)


def test_a_shard_that_changes_during_the_run_is_never_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = write_small_shards(tmp_path / "in", 1, 4)
    shard = tmp_path / "in" / "small-000000.tar"
    sound = shard.read_bytes()

    class Meddled(Write):
        def __call__(self, table):  # type: ignore[no-untyped-def]
            shard.write_bytes(bytes(len(sound)))
            return super().__call__(table)

    with monkeypatch.context() as patch:
        patch.setattr(jobs_chain, "Write", Meddled)
        with pytest.raises(StorageError, match=r"small-000000.tar changed while it was read; run the job again"):
            build(tmp_path / "out", shards, *SMALL, "limits.max_reject_ratio=1")
    assert not (tmp_path / "out" / "versions").exists()
    assert not (tmp_path / "out" / "manifests").exists()
    shard.write_bytes(sound)
    assert build(tmp_path / "out", shards, *SMALL)["totals"]["samples"]["packed"] == 4


def test_a_limited_run_counts_its_rejects_against_what_it_took(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 1, 8)
    with pytest.raises(StorageError, match="2 of 2 samples were rejected"):
        build(tmp_path / "out", shards, *SMALL, "limit=2", "input.format=pairs", "limits.max_reject_ratio=0.5")

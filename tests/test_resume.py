"""What a run keeps of an earlier one, and what it must not keep."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import s3fs

from jobs import chain as jobs_chain
from jobs.spec import load_job
from jobs.train import train_tokenizer
from jobs.verify import verify
from operators.write import Write
from pipeline.errors import ConfigError, StorageError
from tests.support import BUCKET, QUICKSTART, ROOT, build, tree, write_shard, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048")
QUICK = (*SMALL, "score=null", "budget=none")


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
        build(tmp_path / "out", shards, *SMALL, "limit=2", "limits.max_image_pixels=1", "limits.max_reject_ratio=0.5")


def listing(output: Path) -> dict[str, tuple[int, int]]:
    """Time of change and size of everything below an output, folders too."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in [output, *output.rglob("*")]}


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((output / "runs").glob("*.json"))]


def test_a_finished_job_run_again_touches_no_object_of_a_store(store: s3fs.S3FileSystem, tmp_path: Path) -> None:
    local = Path(write_small_shards(tmp_path / "in", 24, 1))  # enough that their folder is listed
    for shard in local.parent.iterdir():
        store.put_file(str(shard), f"{BUCKET}/finished/in/{shard.name}")
    output, shards = f"s3://{BUCKET}/finished/out", f"s3://{BUCKET}/finished/in/{local.name}"

    def objects() -> dict[str, tuple[Any, Any]]:
        store.invalidate_cache()
        found = store.find(f"{BUCKET}/finished/out", detail=True)
        return {path: (entry["ETag"], entry["LastModified"]) for path, entry in found.items()}

    assert build(output, shards, *QUICK)["units"]["built"] > 20
    before = objects()
    time.sleep(1)  # the store's clock tells seconds
    assert build(output, shards, *QUICK)["units"]["built"] == 0
    assert objects() == before
    assert any(path.startswith(f"{BUCKET}/finished/out/runs/") for path in before)


@pytest.mark.parametrize("closing", ["false", "true"])
def test_a_finished_job_run_again_touches_no_file(tmp_path: Path, closing: str) -> None:
    shards = write_small_shards(tmp_path / "in", 2, 3)
    fields = (*QUICK, f"pack.closing={closing}")
    build(tmp_path / "out", shards, *fields)
    (tmp_path / "out" / "runs" / "tmp" / f"{socket.gethostname()}.999999999.abc").touch()
    before = listing(tmp_path / "out")
    again = build(tmp_path / "out", shards, *fields)
    assert (again["units"]["built"], again["new_version"]) == (0, False)
    assert listing(tmp_path / "out") == before


def test_a_finished_job_whose_shards_moved_is_recorded_once_more_and_verified_there(tmp_path: Path) -> None:
    build(tmp_path / "out", write_small_shards(tmp_path / "in", 2, 3), *QUICK)
    before = tree(tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    shards = str(tmp_path / "moved" / "small-{000000..000001}.tar")
    assert build(tmp_path / "out", shards, *QUICK)["units"]["built"] == 0
    assert tree(tmp_path / "out") == before
    assert verify(str(tmp_path / "out")).findings == []
    moved = listing(tmp_path / "out")
    build(tmp_path / "out", shards, *QUICK)
    assert listing(tmp_path / "out") == moved


def test_a_finished_job_that_now_allows_fewer_rejects_fails_and_touches_no_file(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 1, 3)
    write_shard(tmp_path / "in" / "small-000001.tar", {"bad.json": b"{"})
    shards = str(tmp_path / "in" / "*.tar")
    build(tmp_path / "out", shards, *QUICK, "limits.max_reject_ratio=1")
    before = listing(tmp_path / "out")
    with pytest.raises(StorageError, match="1 of 4 samples were rejected"):
        build(tmp_path / "out", shards, *QUICK, "limits.max_reject_ratio=0")
    assert listing(tmp_path / "out") == before


def test_the_record_of_a_run_says_how_it_ended(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 2, 3)
    summary = build(tmp_path / "out", shards, *QUICK)
    (record,) = records(tmp_path / "out")
    assert record["outcome"]["rounds"] == 1
    assert len(record["outcome"]["built"]) == summary["units"]["built"]
    assert record["outcome"]["seconds"] >= 0
    with pytest.raises(StorageError):
        build(tmp_path / "failed", shards, *QUICK, "limits.max_image_pixels=1")
    (record,) = records(tmp_path / "failed")
    assert "samples were rejected" in record["outcome"]["failure"]
    assert "\n" not in record["outcome"]["failure"]


def test_units_committed_before_a_kill_are_not_built_again_and_its_record_says_that_it_never_ended(
    tmp_path: Path,
) -> None:
    shards = write_small_shards(tmp_path / "in", 12, 4)
    output = tmp_path / "out"
    fields = [f"--set={field}" for field in (*QUICK, f"tokenizer={ROOT}/jobs/samples/tokenizer.model")]
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--input", shards, "--output", output]
    with subprocess.Popen([*command, *fields], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not (output / "manifests").exists():
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
    committed = {path.stem for path in (output / "manifests").iterdir()}
    units = build(output, shards, *QUICK)["units"]
    killed, resumed = records(output)
    assert killed["outcome"] is None
    assert units == {"built": len(resumed["outcome"]["built"]), "kept": len(committed)}
    assert committed.isdisjoint(resumed["outcome"]["built"])


@pytest.mark.parametrize("change", ["version", "tokenizer", "field"])
def test_a_changed_recipe_is_refused_with_the_difference_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    shards = write_small_shards(tmp_path / "in", 1, 3)
    shutil.copy(f"{ROOT}/jobs/samples/tokenizer.model", tmp_path / "t.model")
    build(tmp_path / "out", shards, *QUICK, f"tokenizer={tmp_path}/t.model")
    before = listing(tmp_path / "out")
    fields = [*QUICK, f"tokenizer={tmp_path}/t.model"]
    expected = "operators.write: "
    if change == "version":
        monkeypatch.setattr(jobs_chain.Write, "version", 999)
    elif change == "tokenizer":
        train_tokenizer(load_job(str(QUICKSTART), []), kind="unigram", vocab_size=700, target=str(tmp_path / "u.model"))
        (tmp_path / "u.model").replace(tmp_path / "t.model")
        expected = "tokenizer.sha256: "
    else:
        fields += ["pixels=none"]
        expected = "job.pixels: encoded -> none"
    with pytest.raises(ConfigError, match=rf"{expected}.*--rebuild"):
        build(tmp_path / "out", shards, *fields)
    assert listing(tmp_path / "out") == before
    assert build(tmp_path / "out", shards, *fields, rebuild=True)["version"] == 2


@pytest.mark.parametrize("change", ["bytes", "added", "removed"])
def test_changed_inputs_are_an_update_that_redoes_only_the_units_they_touch(tmp_path: Path, change: str) -> None:
    write_small_shards(tmp_path / "in", 5, 3)
    last = tmp_path / "in" / "small-000004.tar"
    if change == "added":
        last.rename(tmp_path / "late.tar")
    shards = str(tmp_path / "in" / "*.tar")
    first = build(tmp_path / "out", shards, *QUICK)
    if change == "bytes":
        last.write_bytes((tmp_path / "in" / "small-000003.tar").read_bytes())
    elif change == "added":
        (tmp_path / "late.tar").rename(last)
    else:
        last.unlink()
    second = build(tmp_path / "out", shards, *QUICK)
    assert second["version"] == 2
    assert second["units"]["built"] == (0 if change == "removed" else 1)
    assert second["units"]["kept"] == first["units"]["built"] - (change != "added")
    build(tmp_path / "fresh", shards, *QUICK)
    fresh = {path for path in tree(tmp_path / "fresh") if path.startswith("manifests/")}
    assert {path for path in tree(tmp_path / "out") if path.startswith("manifests/")} >= fresh
    assert verify(str(tmp_path / "out")).findings == []

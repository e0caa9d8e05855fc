"""Servers that tests share: one Ray, whose start costs seconds and whose port two would share, and one of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import s3fs
from hypothesis import HealthCheck, settings

from pipeline import ray_runner
from tests.servers import environment_of, s3_server_in

# A checker that draws other cases each time would stop one change for another one's bug.
# Nor for a slow machine: what hangs, pytest's own timeout ends.
slow = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, print_blob=True, **slow)
settings.register_profile("own", **slow)
settings.load_profile("ci" if os.environ.get("CI") else "own")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[ray_runner.Cluster]:
    with ray_runner.cluster(None, show_progress=False) as connection:
        yield connection


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a SeaweedFS on loopback that has the bucket BUCKET."""
    with s3_server_in(tmp_path_factory.mktemp("weed")) as address:
        yield address


@pytest.fixture(scope="module")
def store(s3_server: str) -> Iterator[s3fs.S3FileSystem]:
    """The server's file system; the environment leads lodepack, and processes that it starts, there."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in environment_of(s3_server).items():
            environment.setenv(name, value)
        yield s3fs.S3FileSystem(skip_instance_cache=True)
    s3fs.S3FileSystem.clear_instance_cache()

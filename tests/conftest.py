"""One Ray for the whole session: starting it costs seconds, and tests of two clusters at once would share a port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline import ray_runner


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    with ray_runner.cluster(None, show_progress=False):
        yield

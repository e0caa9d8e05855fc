"""One Ray for the whole session: starting it costs seconds, and tests of two clusters at once would share a port."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from pipeline import ray_runner

# A checker that draws other cases each time would stop one change for another one's bug.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    with ray_runner.cluster(None, show_progress=False):
        yield

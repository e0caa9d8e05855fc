"""Without Ray as with it: what fails or stalls is tried again, and whoever waits is told where it stands."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import StorageError
from pipeline.local_runner import MAX_ATTEMPTS, run_local
from tests.failing import Failing, Hopeless, Stalling, Stuck, chain_with


def run(kind: type[Failing], folder: Path, notices: list[str]) -> list[pa.Table]:
    chain, units = chain_with(kind, folder, stall_seconds=8)
    return list(run_local(chain, units, lambda *_: None, notices.append, lambda _: None))


@pytest.mark.parametrize(("kind", "why"), [(Failing, "the network is down"), (Stalling, "failing has held unit 0")])
def test_a_unit_that_failed_or_stalled_once_is_tried_again_and_the_user_hears_why(
    tmp_path: Path, kind: type[Failing], why: str
) -> None:
    notices: list[str] = []
    kinds = [name for table in run(kind, tmp_path, notices) for name in table["kind"].to_pylist()]
    assert sorted(kinds) == ["data", "index", "summary"]
    assert len(notices) == 1
    assert why in notices[0]


@pytest.mark.parametrize(("kind", "why"), [(Hopeless, "access denied"), (Stuck, r"failing has held unit 0, 3 rows to")])
def test_a_unit_that_always_fails_or_stalls_ends_the_run_in_one_line(
    tmp_path: Path, kind: type[Failing], why: str
) -> None:
    notices: list[str] = []
    with pytest.raises(StorageError, match=why):
        run(kind, tmp_path, notices)
    assert len(notices) == MAX_ATTEMPTS - 1

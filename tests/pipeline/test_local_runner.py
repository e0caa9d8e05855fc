"""Without Ray as with it: what fails or stalls is tried again, and whoever waits is told where it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, StorageError
from pipeline.local_runner import run_local
from pipeline.local_worker import MAX_ATTEMPTS
from pipeline.local_workers import run_workers
from tests.failing import Deadly, Failing, Hopeless, Stalling, Stuck, Unbuildable, chain_with, with_slow_writer


def run(kind: type[Failing], folder: Path, notices: list[str], processes: int = 1) -> list[pa.Table]:
    # Processes of their own load what they need while nothing moves.
    chain, units = chain_with(kind, folder, stall_seconds=8 if processes == 1 else 16)
    hear = (lambda *_: None, notices.append, lambda _: None)
    return list(run_workers(chain, units, processes, *hear) if processes > 1 else run_local(chain, units, *hear))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("kind", "why"), [(Failing, "the network is down"), (Stalling, "failing has held unit 0")])
def test_a_unit_that_failed_or_stalled_once_is_tried_again_and_the_user_hears_why(
    tmp_path: Path, kind: type[Failing], why: str, processes: int
) -> None:
    notices: list[str] = []
    kinds = [name for table in run(kind, tmp_path, notices, processes) for name in table["kind"].to_pylist()]
    assert sorted(kinds) == ["data", "index", "summary"]
    assert len(notices) == 1
    assert why in notices[0]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "why"), [(Hopeless, "access denied"), (Stuck, r"failing has held unit 0, 3 rows to")])
def test_a_unit_that_always_fails_or_stalls_ends_the_run_in_one_line(
    tmp_path: Path, kind: type[Failing], why: str, processes: int
) -> None:
    notices: list[str] = []
    with pytest.raises(StorageError, match=why):
        run(kind, tmp_path, notices, processes)
    assert len(notices) == MAX_ATTEMPTS - 1


def test_a_process_that_dies_is_replaced_and_its_unit_tried_again_until_it_is_enough(tmp_path: Path) -> None:
    notices: list[str] = []
    with pytest.raises(StorageError, match=r"process \d of this run ended by exit code \d+"):
        run(Deadly, tmp_path, notices, processes=2)
    assert len(notices) == MAX_ATTEMPTS - 1


def test_an_operator_that_finds_the_job_wrong_in_another_process_says_so_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer gone\.model cannot be read; train one"):
        run(Unbuildable, tmp_path, [], processes=2)


def test_readers_wait_for_a_slow_writer(tmp_path: Path) -> None:
    chain, units = chain_with(Failing, tmp_path)
    (tmp_path / "mended").touch()
    notes = tmp_path / "notes"
    many = [replace(units[0], number=number) for number in range(8)]
    list(run_workers(with_slow_writer(chain, notes), many, 2, lambda *_: None, lambda _: None, lambda _: None))
    lines = [line.split()[0] for line in notes.read_text().splitlines()]
    ahead = [lines[: i + 1].count("read") - lines[: i + 1].count("write") / 3 for i in range(len(lines))]
    assert lines.count("read") == 8
    assert max(ahead) <= 4  # two that are read, and two whose files are written

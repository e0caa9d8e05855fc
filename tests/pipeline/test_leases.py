"""A run and a prune are never at work in one output together, and a dead process is in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import leases
from pipeline.errors import StorageError
from pipeline.leases import EXPIRES_SECONDS, PRUNING, RUNNING, Lease, holding
from tests.support import ROOT

HOLDER = (
    "import sys, time\n"
    "from pipeline.leases import PRUNING, RUNNING, holding\n"
    "with holding(sys.argv[1], RUNNING, against=PRUNING):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def enter(output: str, folder: str, against: str) -> None:
    with holding(output, folder, against=against):
        pass


def test_a_prune_is_refused_while_a_run_is_active_and_a_run_while_a_prune_is(tmp_path: Path) -> None:
    url = str(tmp_path)
    with holding(url, RUNNING, against=PRUNING):
        enter(url, RUNNING, PRUNING)  # two runs share an output
        with pytest.raises(StorageError, match=r"is being built by process \d+ of .*; wait"):
            enter(url, PRUNING, RUNNING)
    with holding(url, PRUNING, against=RUNNING), pytest.raises(StorageError, match="is being pruned"):
        enter(url, RUNNING, PRUNING)
    assert [*(tmp_path / RUNNING).iterdir(), *(tmp_path / PRUNING).iterdir()] == []


def test_the_lease_of_a_process_that_was_killed_on_this_host_counts_no_longer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(StorageError, match=f"process {holder.pid} of"):
                leases.refuse_others(str(tmp_path), RUNNING)
        finally:
            holder.kill()
    assert len(list((tmp_path / RUNNING).iterdir())) == 1
    leases.refuse_others(str(tmp_path), RUNNING)


def test_a_lease_of_another_host_counts_until_it_is_old_and_a_strange_file_never(tmp_path: Path) -> None:
    lease = tmp_path / RUNNING / "elsewhere.example.org.17.abc"
    lease.parent.mkdir(parents=True)
    lease.touch()
    (lease.parent / "notes").touch()
    with pytest.raises(StorageError, match=r"process 17 of elsewhere\.example\.org, .* another host, 30 minutes"):
        leases.refuse_others(str(tmp_path), RUNNING)
    then = time.time() - EXPIRES_SECONDS - 1
    os.utime(lease, (then, then))
    leases.refuse_others(str(tmp_path), RUNNING)


def test_a_lease_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    with holding(str(tmp_path), RUNNING, against=PRUNING) as lease:
        (path,) = (tmp_path / RUNNING).iterdir()
        os.utime(path, (0, 0))
        deadline = time.time() + 10
        while path.stat().st_mtime == 0 and time.time() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 0
        lease.check()


def test_a_process_that_slept_too_long_to_have_a_lease_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(str(tmp_path), PRUNING)
    lease.renew()
    lease.check()
    later = time.time() + EXPIRES_SECONDS
    monkeypatch.setattr(leases.time, "time", lambda: later)
    with pytest.raises(StorageError, match="could not be renewed"):
        lease.check()

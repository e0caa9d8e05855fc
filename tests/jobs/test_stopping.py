"""SIGTERM and Ctrl-C to a real run: one line, its exit code, no temporary file, and a record that says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import QUICKSTART, ROOT, build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "pixels=none")


def start(output: Path, shards: str, *options: str) -> subprocess.Popen[str]:
    fields = [f"--set={field}" for field in (*SMALL, f"tokenizer={ROOT}/jobs/samples/tokenizer.model")]
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--input", shards, "--output", str(output)]
    return subprocess.Popen([*command, *fields, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(folder: Path, pattern: str, run: subprocess.Popen[str]) -> None:
    while not list(folder.glob(pattern)):
        assert run.poll() is None
        time.sleep(0.01)


def check_stopped(run: subprocess.Popen[str], output: Path, shards: str, expected: Path, word: str) -> None:
    error = run.communicate(timeout=60)[1]
    assert error.splitlines()[-1] == f"{word}; run it again: what a build committed is kept"
    assert list((output / "runs" / "tmp").iterdir()) == []
    (record,) = (output / "runs").glob("*.json")
    assert json.loads(record.read_text())["outcome"]["failure"] == word
    committed = len(list((output / "manifests").glob("*")))
    units = build(output, shards, *SMALL)["units"]
    assert units["kept"] == committed
    assert tree(output) == tree(expected)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 12, 4)


@pytest.fixture(scope="module")
def expected(shards: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("expected") / "out"
    build(output, shards, *SMALL)
    return output


def descendants(pid: int) -> set[int]:
    """Of a process, all that it started and that they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "stopped")]
)
def test_a_local_run_that_is_asked_to_end_does_so_in_order(
    shards: str, expected: Path, tmp_path: Path, number: signal.Signals, code: int, word: str, options: tuple[str, ...]
) -> None:
    run = start(tmp_path / "out", shards, "--local", *options)
    wait_for(tmp_path / "out", "manifests/*.json", run)
    started = descendants(run.pid)
    run.send_signal(number)
    check_stopped(run, tmp_path / "out", shards, expected, word)
    assert run.returncode == code
    assert len(started) > 1 or not options
    for _ in range(200):  # children of a killed process end when they find its end of their pipe closed
        if not any(Path(f"/proc/{pid}").exists() for pid in started):
            return
        time.sleep(0.05)
    raise AssertionError(started)


def is_running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_run_on_ray_that_is_asked_to_end_takes_its_actors_with_it(
    shards: str, expected: Path, tmp_path: Path
) -> None:
    run = start(tmp_path / "out", shards)
    wait_for(tmp_path / "out", "index/*.parquet", run)
    started = descendants(run.pid)
    assert started
    os.kill(run.pid, signal.SIGTERM)
    check_stopped(run, tmp_path / "out", shards, expected, "stopped by SIGTERM")
    assert run.returncode == 143
    deadline = time.monotonic() + 10
    while any(map(is_running, started)):
        assert time.monotonic() < deadline, [pid for pid in started if is_running(pid)]
        time.sleep(0.1)

"""A disk without room: one line that names path and bytes, nothing half-made, and a run that resumes."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import QUICKSTART, ROOT, build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size; the test is skipped where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run_cli(shards: str, output: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    fields = (*SMALL, f"tokenizer={ROOT}/jobs/samples/tokenizer.model")
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--input", shards]
    command += ["--output", str(output), *(f"--set={field}" for field in fields)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, **options)


def full_line(done: subprocess.CompletedProcess[str], output: Path) -> None:
    """The run ended with one line that names a path and the bytes, and left no manifest of a unit that is not whole."""
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if "no room" in one]
    assert str(output) in line.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_one_line_and_the_run_resumes_when_there_is_room(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "shards", 4, 4)
    build(tmp_path / "expected", shards, *SMALL)
    disk = tmp_path / "disk"
    with small_disk(disk, "500k"):
        full_line(run_cli(shards, disk / "out"), disk / "out")
        assert len(list((disk / "out").glob("manifests/*"))) < len(list((tmp_path / "expected/manifests").iterdir()))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run_cli(shards, disk / "out").returncode == 0
        assert tree(disk / "out") == tree(tmp_path / "expected")


def test_a_limit_on_the_size_of_files_is_said_like_a_full_disk(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "shards", 1, 4)
    limit = (20_000, 20_000)
    done = run_cli(shards, tmp_path / "out", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    full_line(done, tmp_path / "out")
    assert not list((tmp_path / "out").glob("manifests/*"))

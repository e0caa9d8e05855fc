"""The benchmark of scale measures what it says it does: a smoke of its driver, and, where time is, of all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.scale import tables
from tests.benchmarks.scale.driver import measure
from tests.support import ROOT


def test_every_unit_of_a_made_up_run_is_committed(tmp_path: Path) -> None:
    run = measure(12, 700, tmp_path)
    assert (run["shards"], run["samples"]) == (12, 8400)
    assert run["units"] == len(list((tmp_path / "out" / "manifests").iterdir()))
    assert run["data_files"] == len(list((tmp_path / "out" / "data").iterdir()))
    assert tables.commit_seconds(run) > 0


@pytest.mark.slow
def test_one_command_measures_all_parts(tmp_path: Path) -> None:
    target = tmp_path / "scale.json"
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--quick", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(target.read_text())
    assert found["machine"]["cores"]
    assert found["quick"]
    for mode, run in found["share"].items():
        assert 0 < run["share"] < 1
        assert f"planner and packer, {mode}: " in done.stdout
    assert "packer: shards a unit" in done.stdout

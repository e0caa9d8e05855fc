"""Promises 4 and 5 under SIGKILL: of the driver at seeded moments, and of an actor of each operator, pack above all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.harness import OPERATORS, is_ours, processes, start
from tests.support import ROOT, SPREAD, build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048")
SMALL_BATCHES = tuple(f"resources.{name}.batch_size=2" for name in ("decode", "slice", "tokenize", "score", "pack"))
SEED = 20260


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 6, 5)


@pytest.fixture(scope="module")
def expected(shards: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "out"
    assert build(output, shards, *SMALL)["units"]["built"] >= 3
    return tree(output)


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills the process unless it ended before; whether it had to."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def moments(longest: float, count: int) -> list[float]:
    """Seeded seconds, spread evenly over a run by strata, so that early, middle and late moments all occur."""
    rng = random.Random(SEED)
    return [longest * (i + rng.random()) / count for i in range(count)]


def check_driver_kills(
    shards: str, expected: dict[str, str], folder: Path, longest: float, count: int, *options: str
) -> None:
    killed = 0
    for i, moment in enumerate(moments(longest, count)):
        output = folder / str(i)
        killed += kill_after(start(shards, output, SMALL, *options), moment)
        seen = tree(output)
        committed = {path for path in seen if path.startswith("manifests/")}
        # Names are content, so an early file is a right file; a manifest is there whole or not at all.
        assert seen.items() <= expected.items()
        build(output, shards, *SMALL)
        assert tree(output) == expected
        assert committed <= tree(output).keys()
    assert killed >= count // 2, "most runs ended before they were killed: raise `longest`"


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_local_run_killed_at_some_moments_and_run_again_gives_the_same_bytes(
    shards: str, expected: dict[str, str], tmp_path: Path, count: int
) -> None:
    began = time.monotonic()
    assert start(shards, tmp_path / "whole", SMALL, "--local").wait() == 0
    check_driver_kills(shards, expected, tmp_path, time.monotonic() - began, count, "--local")


@pytest.mark.slow
def test_a_job_on_two_nodes_survives_the_loss_of_pack_a_node_a_decoder_a_child_and_the_driver() -> None:
    # In a process of its own: this one may be connected to another cluster.
    command = [sys.executable, "-m", "tests.benchmarks.reliability.kills", "--quick"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    figures = json.loads(done.stdout[done.stdout.rindex("\n{\n") :])
    assert (figures["kills"], figures["survived"], figures["silent_hangs"]) == (5, 5, 0), figures["failures"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_ray_driver_killed_at_ten_moments_and_run_again_gives_the_same_bytes(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    began = time.monotonic()
    assert start(shards, tmp_path / "whole", SMALL).wait() == 0
    check_driver_kills(shards, expected, tmp_path, time.monotonic() - began, 10)


class Killer(threading.Thread):
    """Kills an actor of each operator once, as soon as it is seen at its `nth` task, or two seconds after it is there.

    `killed`: their process ids, by operator.
    """

    def __init__(self, operators: Sequence[str], nth: int) -> None:
        super().__init__(daemon=True)
        self.killed: dict[str, int] = {}
        self._nth = nth
        self._titles = {operator: f"ray::MapWorker(MapBatches({operator.capitalize()}))" for operator in operators}
        self._ended = threading.Event()

    def run(self) -> None:
        first_seen: dict[int, float] = {}
        tasks: dict[int, int] = {}
        at_work: set[int] = set()
        while self.killed.keys() != self._titles.keys() and not self._ended.wait(0.001):
            for pid, title in processes():
                operator = next((name for name, start in self._titles.items() if title.startswith(start)), None)
                if operator is None or operator in self.killed or not is_ours(pid):
                    continue
                if ".submit" not in title:
                    at_work.discard(pid)
                elif pid not in at_work:
                    at_work.add(pid)
                    tasks[pid] = tasks.get(pid, 0) + 1
                waited = time.monotonic() - first_seen.setdefault(pid, time.monotonic())
                if tasks.get(pid, 0) >= self._nth or (self._nth == 1 and waited > 2):
                    os.kill(pid, signal.SIGKILL)
                    self.killed[operator] = pid

    def stop(self) -> None:
        self._ended.set()
        self.join()


ONE_BY_ONE = [pytest.param((operator,), marks=pytest.mark.slow) for operator in OPERATORS]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("operators", [OPERATORS, *ONE_BY_ONE])
def test_actors_killed_at_work_cost_no_byte(
    shards: str, expected: dict[str, str], tmp_path: Path, operators: tuple[str, ...]
) -> None:
    killer = Killer(operators, 1)
    killer.start()
    build(tmp_path, shards, *SMALL, *SPREAD, *SMALL_BATCHES, local=False)
    killer.stop()
    assert killer.killed.keys() == set(operators)
    assert tree(tmp_path) == expected


@pytest.mark.usefixtures("ray_session")
def test_a_pack_actor_killed_with_half_a_unit_in_memory_emits_nothing_and_the_unit_runs_again(
    shards: str, tmp_path: Path
) -> None:
    one_unit = (*SMALL, "unit.target_shards=64", "score=null", "budget=none")
    build(tmp_path / "expected", shards, *one_unit)
    killer = Killer(("pack",), 2)  # what its first task brought is in its memory alone
    killer.start()
    batches = ("resources.decode.batch_size=2", "resources.pack.batch_size=2")
    summary = build(tmp_path / "killed", shards, *one_unit, *batches, local=False)
    killer.stop()
    assert killer.killed
    assert summary["rounds"] == 2
    assert tree(tmp_path / "killed") == tree(tmp_path / "expected")


def test_two_runs_of_one_job_at_once_commit_each_unit_once(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    runs = [start(shards, tmp_path, SMALL, "--local") for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert tree(tmp_path) == expected

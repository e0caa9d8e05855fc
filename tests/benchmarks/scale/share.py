"""What planning, packing and committing take of a build: CPU seconds of each step of a local run, children's too."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.chain import build_chain, resolve_job
from jobs.plan.timing import BUILDING, Clock, timed
from jobs.spec import load_job
from pipeline.local_runner import run_local
from pipeline.sink import Sink
from tests.benchmarks.end_to_end.modes import MODES, Mode, write_job
from tests.benchmarks.end_to_end.photographs import make_photographs
from tests.benchmarks.scale.driver import Spent, planned

SHARDS = 2
PICTURES = {"source, structure": 1600, "source, decode": 800, "encoded": 300, "relevance": 150, "patches": 150}
"""In each shard, by mode: a mode of few seconds gets more."""
QUICK_PICTURES = 10
DISTINCT = 60
RUNS = 3
PLANNER_AND_PACKER = ("plan", "slice", "pack")
"""Plan of the run, plans of pictures, and packing."""
CHILDREN = frozenset({"decode", "write"})
"""Operators that have some."""


class OwnClock(Clock):
    """Looks for the seconds of children only where there are some: to look takes .1 ms, a batch in `slice` one."""

    @contextmanager
    def spent(self, operator: str) -> Iterator[None]:
        """Adds what the block takes to the operator's seconds."""
        if operator in CHILDREN:
            with super().spent(operator):
                yield
            return
        began = time.process_time()
        yield
        self.cpu[self.unit, operator] += time.process_time() - began


def shares(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Of each mode the median run, by the share of planner and packer."""
    photographs = make_photographs(count=QUICK_PICTURES if quick else DISTINCT, processes=1)
    found: dict[str, Any] = {}
    for mode in MODES:
        if mode.name not in PICTURES:
            continue
        count = QUICK_PICTURES if quick else PICTURES[mode.name]
        paths = [folder / f"{count}" / f"photos-{number:06d}.tar" for number in range(SHARDS)]
        for number, path in enumerate(paths):
            if not path.exists():
                photographs.write_shard(path, count, number)
        runs = [measure(mode, paths) for _ in range(1 if quick else RUNS)]
        found[mode.name] = sorted(runs, key=lambda run: run["share"])[len(runs) // 2] | {
            "shares": [run["share"] for run in runs],
        }
    return found


def measure(mode: Mode, paths: Sequence[Path]) -> dict[str, Any]:
    """Shares of one run; models and processes that start with it are left out."""
    with TemporaryDirectory() as name:
        job, output = Path(name) / "job.yaml", Path(name) / "out"
        write_job(mode, job, paths, output)
        spent = Spent()
        with spent.on("plan"):
            given = resolve_job(load_job(str(job), []))
            plan = planned(given)
        clock, sink = OwnClock(), Sink(str(output), plan, 1.0)
        chain = timed(build_chain(given), clock, lambda *_: None)
        for table in run_local(chain, plan.todo, lambda *_: None, lambda _: None, lambda _: None):
            with spent.on("commit"):
                sink.add(table)
        with spent.on("commit"):
            _, version, _ = sink.finish()
        bytes_out = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    seconds = dict(spent.seconds)
    for (unit, operator), cpu in clock.cpu.items():
        if unit != BUILDING:
            seconds[operator] = seconds.get(operator, 0.0) + cpu
    total, samples = sum(seconds.values()), version["totals"]["samples"]["read"]
    return {
        "samples": samples,
        "bytes_in": sum(path.stat().st_size for path in paths),
        "bytes_out": bytes_out,
        "cpu_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "cpu_microseconds_a_sample": {name: round(1e6 * value / samples, 1) for name, value in seconds.items()},
        "share": round(sum(seconds[name] for name in PLANNER_AND_PACKER) / total, 4),
    }

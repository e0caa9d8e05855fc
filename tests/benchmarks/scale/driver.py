"""What the driver of a run does for some shards, with nothing but it: list, plan, commit, resume, version, read.

    python -m tests.benchmarks.scale.driver SHARDS SAMPLES

Shards are files of a few bytes, and the reports of `write` are made up: as many as units of so many samples have, of
files that are there and empty. Manifests, hashes and versions are real. CPU seconds, without those that made this up.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.card.card import keep_card
from jobs.chain import Resolved
from jobs.replanning import may_replan
from pipeline.loading.packs import open_packs
from pipeline.planning import Plan, make_plan, remember_hashes
from pipeline.sink import Sink
from tests.benchmarks.packing_worker import memory_mib
from tests.benchmarks.scale.reports import reports_of
from tests.benchmarks.scale.rows import resolved

TENTHS = 10
OPEN_UNITS = 8
"""Units whose reports come in turns."""


class Spent:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - began


def write_shards(folder: Path, count: int) -> str:
    """Files of a few bytes; their pattern."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"shard-{number:06d}.tar").write_bytes(b"%d" % number)
    return str(folder / f"shard-{{000000..{count - 1:06d}}}.tar")


def planned(given: Resolved) -> Plan:
    return make_plan(
        given.job.output,
        given.inputs,
        given.recipe,
        target_shards=given.job.unit.target_shards,
        limit=None,
        rebuild=False,
        may_replan=may_replan,
    )


def commit(sink: Sink, plan: Plan, output: Path, samples: int) -> list[dict[str, float]]:
    """Feeds the reports of all units; CPU seconds a unit and memory, tenth by tenth."""
    steps: list[dict[str, float]] = []
    size = -(-len(plan.todo) // TENTHS)
    for start in range(0, len(plan.todo), size):
        tenth = plan.todo[start : start + size]
        seconds = 0.0
        for first in range(0, len(tenth), OPEN_UNITS):
            reports = _in_turns([reports_of(plan, unit, output, samples) for unit in tenth[first : first + OPEN_UNITS]])
            began = time.process_time()
            for report in reports:
                sink.add(report)
            seconds += time.process_time() - began
        shards = sum(len(unit.shards) for unit in tenth)
        each = {"cpu_seconds_a_unit": seconds / len(tenth), "cpu_seconds_a_shard": seconds / shards}
        steps.append({"units_before": start, **each, "mib": memory_mib("VmRSS")})
    return steps


def _in_turns(units: Sequence[list[pa.Table]]) -> list[pa.Table]:
    most = max(map(len, units))
    return [reports[i] for i in range(most) for reports in units if i < len(reports)]


def measure(num_shards: int, samples: int, folder: Path) -> dict[str, Any]:
    spent, pattern, output = Spent(), write_shards(folder / "in", num_shards), folder / "out"
    given = resolved(pattern, output)  # a first time, which imports
    start = memory_mib("VmRSS")
    with spent.on("list"):
        given = resolved(pattern, output)
    with spent.on("plan"):
        plan = planned(given)
    sink = Sink(str(output), plan, 1.0)
    steps = commit(sink, plan, output, samples)
    with spent.on("plan after a kill behind the last commit"):
        assert not planned(given).todo
    with spent.on("write the version"):
        number, version, _ = sink.finish()
        remember_hashes(str(output), plan, sink.hashes)
    memory = {"at_start": start, "peak_of_the_run": memory_mib("VmHWM")}
    with spent.on("write the card"):
        keep_card(str(output), number, version)
    with spent.on("run again with nothing to do"):
        again = resolved(pattern, output)
        plan = planned(again)
        assert Sink(str(output), plan, 1.0).finished() is not None
    with spent.on("open to load"):
        packs = open_packs(str(output))
    (folder / "in" / "shard-000000.tar").write_bytes(b"another")
    with spent.on("plan for one changed shard"):
        assert len(planned(given).todo) == 1
    files = {kind: list((output / kind).iterdir()) for kind in ("manifests", "versions")}
    return {
        "shards": num_shards,
        "samples": num_shards * samples,
        "units": len(version["units"]),
        "data_files": len(packs.files),
        "cpu_seconds": spent.seconds,
        "commit": steps,
        "memory_mib": memory | {"peak_with_card_and_loading": memory_mib("VmHWM")},
        "bytes": {kind: sum(path.stat().st_size for path in found) for kind, found in files.items()}
        | {"card": (output / "README.md").stat().st_size, "hashes": (output / "runs/shards.hashes").stat().st_size},
    }


def main() -> None:
    num_shards, samples = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(num_shards, samples, Path(name))))


if __name__ == "__main__":
    main()

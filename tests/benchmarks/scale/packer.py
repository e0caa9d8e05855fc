"""What a unit costs the operator `pack`: by its size, and by how many there were before it. In a process of its own.

    python -m tests.benchmarks.scale.packer ROWS.arrow SHARDS SAMPLES UNITS

A unit has SHARDS shards of SAMPLES samples; UNITS of them follow each other through one Pack. Rows are drawn while no
time is taken, a table at a time, and tasks are dropped as they come, as on Ray they leave for `write`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.chain import build_chain
from pipeline.operator import Gatherer
from pipeline.types import Shard, Source, Unit
from tests.benchmarks.packing_worker import memory_mib
from tests.benchmarks.scale.rows import resolved, shard_of
from tests.support import SAMPLES


def units_of(num_units: int, num_shards: int) -> list[Unit]:
    names = [[f"{unit:05d}-{number:03d}.tar" for number in range(num_shards)] for unit in range(num_units)]
    source = Source("interleaved")
    return [Unit(i, tuple(Shard(name, f"/in/{name}") for name in own), source) for i, own in enumerate(names)]


def pack_unit(pack: Gatherer, rows: pa.Table, unit: Unit, samples: int) -> dict[str, Any]:
    """CPU seconds of a unit in `pack`, its tasks and the largest of them in MiB."""
    seconds, tasks, largest = 0.0, 0, 0
    for number, shard in enumerate(unit.shards):
        for table in shard_of(rows, unit.number, number, shard.name, samples):
            began = time.process_time()
            for task in pack(table):
                tasks, largest = tasks + 1, max(largest, task.nbytes)
            seconds += time.process_time() - began
    return {
        "cpu_seconds": seconds,
        "tasks": tasks,
        "largest_task_mib": largest / 2**20,
        "mib_after": memory_mib("VmRSS"),
    }


def main() -> None:
    path, *numbers = sys.argv[1:]
    num_shards, samples, num_units = map(int, numbers)
    rows = pa.ipc.open_file(path).read_all()
    units = units_of(num_units, num_shards)
    pack = build_chain(resolved(str(SAMPLES[0]), Path(path).parent / "out")).pack(units)
    before = memory_mib("VmRSS")
    found = [pack_unit(pack, rows, unit, samples) for unit in units]
    print(json.dumps({"mib_before": before, "peak_mib": memory_mib("VmHWM"), "units": found}))


if __name__ == "__main__":
    main()

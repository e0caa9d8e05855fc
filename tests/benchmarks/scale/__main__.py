r"""What planning, packing, commits and versions take at 10,000 shards of 10,000 samples, and of builds. One command.

    python -m tests.benchmarks.scale --json infra/bench/scale.json
    python -m tests.benchmarks.scale --quick --parts driver

driver: shards of a few bytes and made-up reports, real manifests and versions, up to 10,000 shards (driver.py).
packer: measured rows without end through `pack`, a unit after the other, of several sizes (packer.py).
share: local builds of generated photographs, by mode: what planner and packer take of their CPU seconds (share.py).
All figures are CPU seconds and memory of processes of their own. With --json, parts that were not measured this time
stay in the file as they were.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from tests.benchmarks.end_to_end.machine import describe
from tests.benchmarks.scale import tables
from tests.benchmarks.scale.rows import measured_rows
from tests.benchmarks.scale.share import shares
from tests.support import ROOT

SAMPLES = 10_000
"""Of a shard."""
SHARDS = (1_000, 3_000, 10_000)
QUICK_SHARDS, QUICK_SAMPLES = (5, 10), 100
UNITS = ((1, SAMPLES, 30), (4, SAMPLES, 6), (8, SAMPLES, 3), (1, 500, 200))
"""Shards of a unit, samples of a shard, units one after the other."""
QUICK_UNITS = ((1, 100, 3),)


def measure_driver(_: Path, *, quick: bool) -> list[dict[str, Any]]:
    """One child a size."""
    sizes, samples = (QUICK_SHARDS, QUICK_SAMPLES) if quick else (SHARDS, SAMPLES)
    return [_child("driver", size, samples) for size in sizes]


def measure_packer(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """One child a size of units."""
    rows = measured_rows(folder / "out")
    path = folder / "rows.arrow"
    with pa.ipc.new_file(path, rows.schema) as file:
        file.write_table(rows)
    found = []
    for shards, samples, units in QUICK_UNITS if quick else UNITS:
        said = _child("packer", path, shards, samples, units)
        found.append({"shards_a_unit": shards, "samples_a_shard": samples, **said})
    return found


def measure_share(folder: Path, *, quick: bool) -> dict[str, Any]:
    return shares(folder, quick=quick)


PARTS: dict[str, tuple[Callable[..., Any], Callable[[Any], str]]] = {
    "driver": (measure_driver, tables.driver),
    "packer": (measure_packer, tables.packer),
    "share": (measure_share, tables.share),
}
"""How each is measured, and shown."""


def main() -> None:
    """Prints the tables, writes the JSON."""
    options = _options()
    target: Path | None = options.json
    found: dict[str, Any] = json.loads(target.read_text("utf-8")) if target is not None and target.exists() else {}
    found |= {"machine": describe(), "quick": options.quick}
    for name in options.parts:
        measure, show = PARTS[name]
        with TemporaryDirectory() as folder:
            found[name] = measure(Path(folder), quick=options.quick)
        print(show(found[name]) + "\n", flush=True)
        if target is not None:
            target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _child(module: str, *arguments: object) -> dict[str, Any]:
    """What a part says of itself in a process of its own."""
    command: Sequence[str] = [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke of each part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()

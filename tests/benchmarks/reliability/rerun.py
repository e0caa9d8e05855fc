"""Times a finished job that is run again: units of one small shard each, on local files.

python -m tests.benchmarks.reliability.rerun [--quick]

The second run is what a night's cron does when nothing changed: it has to write nothing and to be quick.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support import build, write_pairs

GOAL_SECONDS = 5.0
"""For 1,000 units."""
FIELDS = ("input.format=pairs", "unit.target_shards=1", "sequence_length=1024", "pixels=none", "score=null", "budget=none")  # fmt: skip # noqa: E501


def write_units(folder: Path, count: int) -> str:
    """So many one-sample shards; returns their pattern."""
    write_pairs(folder / "one", 1, 1)
    data = (folder / "one" / "pairs-000000.tar").read_bytes()
    (folder / "in").mkdir()
    for number in range(count):
        (folder / "in" / f"unit-{number:06d}.tar").write_bytes(data)
    return str(folder / "in" / f"unit-{{000000..{count - 1:06d}}}.tar")


def listing(output: Path) -> dict[str, tuple[int, int]]:
    """Time of change and size of everything below an output, folders too."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in [output, *output.rglob("*")]}


def measure(*, quick: bool) -> dict[str, Any]:
    """Seconds of the second run in this process, for 1,000 units, and the files that it touched."""
    count = 50 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        shards = write_units(Path(folder), count)
        output = Path(folder) / "out"
        began = time.monotonic()
        first = build(output, shards, *FIELDS)
        built = time.monotonic() - began
        before = listing(output)
        began = time.monotonic()
        second = build(output, shards, *FIELDS)
        seconds = time.monotonic() - began
        touched = dict(listing(output).items() ^ before.items())
    assert second["units"] == {"built": 0, "kept": first["units"]["built"]}
    return {
        "units": count,
        "first_seconds": round(built, 2),
        "second_seconds": round(seconds, 2),
        "second_seconds_per_1000_units": round(1000 * seconds / count, 2),
        "goal_seconds_per_1000_units": GOAL_SECONDS,
        "files_touched": len(touched),
    }


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=1))

"""Every figure of what is promised about faults, part by part, by one command.

    python -m tests.benchmarks.reliability [--quick] [--parts kills store] [--json infra/bench/reliability.json]

With --json, parts that were not measured this time stay in the file as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PARTS = {
    "kills": "SIGKILL of drivers, nodes, operators and decoding children; same bytes?",
    "damage": "every header byte of a tar flipped, every block cut; named?",
    "fuzz": "mutated tars, JSON, pictures, job files and manifests; accepted or refused with a reason?",
    "bombs": "members that would fill memory or time; within the declared cap?",
    "store": "an object store that fails, stalls and cuts; same bytes, how much slower?",
    "overlap": "two runs of one job at once; one commit a unit?",
    "rerun": "a finished job run again; nothing written, how fast?",
    "secrets": "canary keys; found anywhere?",
}
LIBRARIES = ("ray", "pillow", "pyarrow", "s3fs", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke of each part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", metavar="FILE", help="keep the figures here")
    options = parser.parse_args()
    target = Path(options.json) if options.json else None
    figures: dict[str, Any] = json.loads(target.read_text()) if target is not None and target.exists() else {}
    for part in options.parts:
        print(f"{part}: {PARTS[part]}", file=sys.stderr)
        begun = time.monotonic()
        found = import_module(f"tests.benchmarks.reliability.{part}").measure(quick=options.quick)
        figures[part] = found | {"seconds": round(time.monotonic() - begun, 1), "machine": machine()}
        print(json.dumps({part: figures[part]}, indent=1))
        if target is not None:
            target.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


def machine() -> dict[str, Any]:
    """On what a part was measured, and how busy that was when it ended."""
    versions = {name: version(name) for name in LIBRARIES}
    load = round(os.getloadavg()[0], 1)
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": load, **versions}


if __name__ == "__main__":
    main()

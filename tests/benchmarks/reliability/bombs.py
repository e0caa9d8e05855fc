"""Memory and seconds of each bomb over the same build without it: `python -m tests.benchmarks.reliability.bombs`."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.bombing import Range
from tests.fuzz.bombs import bombs

QUICK = ("gzip named .tar", "PNG of 65,000x65,000", "zTXt of 200 MB", "JSON of empty lists")
SPARE_MEGABYTES = 256


def measure(*, quick: bool) -> dict[str, Any]:
    """Of each bomb: megabytes and seconds over the build without it, its cap, what became of it, and what was wrong."""
    chosen = [bomb for bomb in bombs() if not quick or bomb.name in QUICK]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        field = Range(Path(folder))
        for bomb in chosen:
            blast = field.blast(bomb)
            found[bomb.name] = {
                "megabytes": round(blast.megabytes),
                "seconds": round(blast.seconds, 2),
                "cap_megabytes": bomb.cap_bytes >> 20,
                "reasons": blast.run.reasons,
                "faults": blast.faults,
            }
    return {
        "bombs": len(found),
        "within_cap_and_256_megabytes": sum(
            one["megabytes"] <= one["cap_megabytes"] + SPARE_MEGABYTES for one in found.values()
        ),
        "within_5_seconds": sum(one["seconds"] <= 5 for one in found.values()),
        "as_expected": sum(not one["faults"] for one in found.values()),
        "most_seconds": max(one["seconds"] for one in found.values()),
        "most_megabytes": max(one["megabytes"] for one in found.values()),
        "by_name": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(quick=parser.parse_args().quick), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()

"""Mutated inputs of each kind, and what came of them: `python -m tests.benchmarks.reliability.fuzz`."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from tests.fuzz.fuzzing import fuzz

COUNTS = {"tar": 60_000, "json": 100_000, "picture": 60_000, "job": 5000, "record": 5000}
QUICK = 200
SEED = 1
SHOWN = 20


def measure(*, quick: bool) -> dict[str, Any]:
    """Inputs by kind, accepted and rejected; crashes and hangs of over 10 s, with the commands that run them again."""
    by_kind: dict[str, Any] = {}
    failures: list[str] = []
    started = time.monotonic()
    for kind, count in COUNTS.items():
        found = fuzz(kind, seed=SEED, first=0, count=QUICK if quick else count)
        by_kind[kind] = {
            "inputs": found.inputs,
            "accepted": found.accepted,
            "rejected": found.rejected,
            "crashes": len(found.crashes),
            "hangs": len(found.hangs),
            "slowest_seconds": round(found.slowest_seconds, 2),
        }
        failures += found.to_lines(kind, SEED)
    return {
        "seed": SEED,
        **{name: sum(one[name] for one in by_kind.values()) for name in ("inputs", "crashes", "hangs")},
        "seconds": round(time.monotonic() - started),
        "by_kind": by_kind,
        "failures": failures[:SHOWN],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(quick=parser.parse_args().quick), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()

"""Kills of a job on two nodes, drawn by a seed: how many it survives unattended with the bytes of an undisturbed run.

python -m tests.benchmarks.reliability.kills [--quick]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.harness import CHILD, DRIVER, OPERATORS, RAYLET, TwoNodes, draw_kills, run_under, two_nodes
from tests.support import SPREAD, build, tree, write_small_shards

QUOTA = {RAYLET: 20, "pack": 20, DRIVER: 12} | dict.fromkeys(
    ("decode", "slice", "tokenize", "score", "write", CHILD), 8
)
PER_RUN = 5
SHARDS, PER_SHARD = 8, 6
SEED = 20261128
MOST_FAILURES = 5
"""Jobs with other bytes, or that failed, after which there is nothing to be counted any more."""
FIELDS = (
    *("unit.target_shards=1", "sequence_length=2048"),
    *SPREAD,
    *(f"resources.{name}.batch_size=2" for name in OPERATORS[:5]),
)


def measure(*, quick: bool) -> dict[str, Any]:
    """Kills by victim; survived: of jobs that then ended by themselves, exit 0, with the same tree hash."""
    quota = Counter({RAYLET: 1, "pack": 1, DRIVER: 1, "decode": 1, CHILD: 1} if quick else QUOTA)
    rng = random.Random(SEED)
    wanted = Counter(quota)
    killed: Counter[str] = Counter()
    survived = hangs = runs = starts = 0
    longest = 0.0
    failures: list[str] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_small_shards(folder / "in", SHARDS, PER_SHARD)
        build(folder / "expected", shards, *FIELDS)
        expected = tree(folder / "expected")
        nodes: TwoNodes
        with two_nodes() as nodes:
            while wanted and len(failures) < MOST_FAILURES:
                victims = _draw(rng, wanted)
                outcome = run_under(
                    nodes, draw_kills(rng, victims, SHARDS * (PER_SHARD + 1)), shards, folder / str(runs), FIELDS
                )
                wanted = +(wanted - Counter(kill.victim for kill in outcome.killed))
                killed.update(kill.victim for kill in outcome.killed)
                is_same = outcome.returncode == 0 and tree(folder / str(runs)) == expected
                survived += len(outcome.killed) if is_same else 0
                failures += [] if is_same else [outcome.said[-300:]]
                hangs += outcome.has_hung
                runs, starts = runs + 1, starts + outcome.starts
                longest = max(longest, outcome.seconds)
                print(f"{killed.total()} kills, {survived} survived, {runs} jobs", file=sys.stderr)
    return {
        "kills": killed.total(),
        "survived": survived,
        "victims": dict(killed),
        "jobs": runs,
        "starts": starts,
        "silent_hangs": hangs,
        "failures": failures,
        "longest_job_seconds": round(longest, 1),
        "seconds": round(time.monotonic() - begun, 1),
        "seed": SEED,
    }


def _draw(rng: random.Random, wanted: Counter[str]) -> list[str]:
    """Victims of one job: of those still wanted, the most wanted first, in an order by chance."""
    victims = [victim for victim, _ in wanted.most_common(PER_RUN)]
    rng.shuffle(victims)
    return victims


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=1))

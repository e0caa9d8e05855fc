r"""How evenly the vision load of a step falls on data-parallel ranks, as the loader shuffles and in order of arrival.

    python -m tests.benchmarks.ranks OUT --json infra/bench/ranks.json

Load is patches; a step is as slow as its heaviest rank: max / mean over the ranks, then the mean over the steps of
some epochs, and the whole (what all steps' heaviest take, by what they would at the mean). Order of arrival: packs by
shard and ordinal of their first document. Sorted: the whole corpus by load, which no order can do much better than.
`--model N` does the same for a simulated corpus of N packs, whose loads are drawn from those of OUT, in units of 640.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import spearmanr

from operators.ordering import order_by_load
from pipeline.loading.order import shuffled
from pipeline.loading.packs import open_packs

EPOCHS = 20
UNIT_PACKS = 640
BLOCK = 64


def packs_of(output: str) -> list[dict[str, Any]]:
    """For each pack, in the order of the loader: data file, patches, tokens, place of its first document."""
    found = []
    for number, file in enumerate(open_packs(output).files):
        for row in pq.read_table(file.url, columns=["samples", "views"]).to_pylist():
            first = min((sample["id"]["shard"], sample["id"]["ordinal"]) for sample in row["samples"])
            patches = sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in row["views"])
            tokens = sum(sample["length"] for sample in row["samples"])
            longest = max(sample["length"] for sample in row["samples"])
            found.append({"file": number, "patches": patches, "tokens": tokens, "longest": longest, "first": first})
    return found


def imbalance(loads: np.ndarray, ranks: int) -> dict[str, float]:
    """Of loads in the order of a pass [packs]: mean of max / mean over the steps, and of all steps together."""
    steps = loads[: len(loads) // ranks * ranks].reshape(-1, ranks)
    steps = steps[steps.sum(axis=1) > 0]
    return {
        "mean_of_steps": float((steps.max(axis=1) / steps.mean(axis=1)).mean()),
        "whole": float(steps.max(axis=1).sum() / steps.mean(axis=1).sum()),
    }


def measure(loads: np.ndarray, arrival: np.ndarray, blocks: list[int], ranks: int) -> dict[str, Any]:
    """Both orders of one corpus; loads by number of the pack."""
    passes = [shuffled(blocks, group=ranks, buffer=4, seed=0, epoch=epoch) for epoch in range(EPOCHS)]
    epochs = [imbalance(loads[order], ranks) for order in passes]
    return {
        "packs": len(loads),
        "loader": {name: round(float(np.mean([one[name] for one in epochs])), 4) for name in epochs[0]},
        "arrival": {name: round(value, 4) for name, value in imbalance(loads[arrival], ranks).items()},
        "sorted": {name: round(value, 4) for name, value in imbalance(np.sort(loads)[::-1], ranks).items()},
        "correlation_of_load_and_place": {
            "emitted": round(float(spearmanr(np.arange(len(loads)), loads).statistic), 3),
            "loader": round(float(np.mean([spearmanr(np.arange(len(o)), loads[o]).statistic for o in passes])), 3),
        },
    }


def simulated(loads: np.ndarray, count: int, ranks: int) -> dict[str, Any]:
    """A corpus of `count` packs with loads like these, emitted as `pack` does: units sorted and cut into blocks."""
    drawn = np.random.default_rng(0).choice(loads, count)
    order: list[int] = []
    for start in range(0, count, UNIT_PACKS):
        unit = drawn[start : start + UNIT_PACKS]
        order += [start + number for number in order_by_load(unit.tolist(), BLOCK, f"unit {start}")]
    emitted = np.array(order)
    blocks = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
    return measure(drawn[emitted], np.argsort(emitted), blocks, ranks)


def main() -> None:
    """Prints the figures, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--model", type=int, default=6400, metavar="N")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    packs = packs_of(options.output)
    loads = np.array([pack["patches"] for pack in packs])
    longest = [pack["longest"] for pack in packs]
    arrival = np.array(sorted(range(len(packs)), key=lambda number: packs[number]["first"]))
    blocks = np.bincount([pack["file"] for pack in packs]).tolist()
    found = {"ranks": options.ranks, "epochs": EPOCHS, "corpus": measure(loads, arrival, blocks, options.ranks)}
    found["corpus"]["correlation_of_longest_document_and_place"] = round(
        float(spearmanr(np.arange(len(packs)), longest).statistic), 3
    )
    found["simulated"] = simulated(loads, options.model, options.ranks)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

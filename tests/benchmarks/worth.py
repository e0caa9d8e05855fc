r"""What the level-of-detail rule gives photographs and screenshots, beside the same 256 tokens for every region.

    python -m tests.benchmarks.worth --photos '../shared/data/photos/*.tar' \
        --screenshots '../shared/data/gimp-help/*.tar' --json infra/bench/worth.json

Both are built with the quickstart's settings. Of screenshots those of over 250,000 pixels count, of photographs all. A
region of fewer than 256 tokens at native size counts as many in `uniform`. The mission's 48 % are one worked example of
nine regions, whatever their size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from operators.budget import LEVELS
from operators.slicing.regions import REGION_SIDE, cuts
from tests.benchmarks.main_job import lodepack
from tests.support import QUICKSTART

UNIFORM = 256
LEAST_PIXELS = 250_000


def figures(output: Path, least_pixels: int) -> dict[str, Any]:
    """Means over the pictures of a build, in tokens."""
    lod = uniform = native = pictures = regions = 0
    levels: Counter[int] = Counter()
    for path in sorted((output / "index").iterdir()):
        for row in pq.read_table(path, columns=["segments"]).to_pylist():
            for plan in [segment["plan"] for segment in row["segments"] if segment["plan"] is not None]:
                if plan["width"] * plan["height"] <= least_pixels:
                    continue
                sides = [
                    [high - low for low, high in pairwise(borders)]
                    for borders in (cuts(plan["grid_h"], REGION_SIDE), cuts(plan["grid_w"], REGION_SIDE))
                ]
                areas = [high * wide for high in sides[0] for wide in sides[1]]
                budgets = {(view["row"], view["col"]): view["budget"] for view in plan["views"]}
                pictures += 1
                regions += len(areas)
                lod += sum(view["tokens"] for view in plan["views"])
                uniform += sum(min(UNIFORM, area) for area in areas)
                native += sum(areas)
                levels.update(budgets.values())
    return {
        "pictures": pictures,
        "regions": round(regions / pictures, 2),
        "native": round(native / pictures, 1),
        "uniform_256": round(uniform / pictures, 1),
        "lod": round(lod / pictures, 1),
        "less_than_uniform": round(1 - lod / uniform, 4),
        "less_than_native": round(1 - lod / native, 4),
        "regions_by_budget": {str(level): levels[level] for level in LEVELS}
        | {"own size": sum(count for budget, count in levels.items() if budget not in LEVELS)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="shards of pairs")
    parser.add_argument("--screenshots", required=True, help="interleaved shards")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--set", action="append", default=[], help="a further field of the job")
    wanted = parser.parse_args()
    found: dict[str, Any] = {"mission": 0.48}
    with tempfile.TemporaryDirectory() as folder:
        for name, pattern, form, least in (
            ("photographs", wanted.photos, "pairs", 0),
            ("screenshots", wanted.screenshots, "interleaved", LEAST_PIXELS),
        ):
            output = Path(folder) / name
            fields = [f"--set={change}" for change in (f"input.format={form}", "pixels=none", *wanted.set)]
            lodepack("run", str(QUICKSTART), "--local", "--input", pattern, "--output", str(output), *fields)
            found[name] = figures(output, least)
    text = json.dumps(found, indent=1)
    print(text)
    if wanted.json:
        wanted.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

r"""How often the encoder that ships gives the queried object's region the top score, by kind of query, and how fast.

    python -m tests.benchmarks.pointing --json infra/bench/pointing.json

Over all queries of 1,000 generated scenes of a seed that neither training nor the tests use. Top: alone at the top, in
8-bit values. Drawn: one query a scene, its kind drawn first, as in the test. Off the grid: the same queries under grids
that cut through objects; hit if the top region holds HOLDS of the object's box, most if none holds more. Speed:
regions of all scenes in one call, on one thread.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from operators.relevance import REGION
from operators.relevance import encoder as shipped
from operators.relevance.crop import crop, grid
from operators.relevance.located import SHIPPED
from operators.relevance.phrases import KINDS, Query
from operators.relevance.regrid import HOLDS, shares_of
from operators.relevance.scenes import Scene, make_scene

SEED = 4711
SCENES = 1000


def measure(encoder: shipped.Encoder) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)
    scenes = [make_scene(rng) for _ in range(SCENES)]
    regions = np.concatenate([scene.regions() for scene in scenes])
    places = np.concatenate([scene.places() for scene in scenes])
    started = perf_counter()
    seen = encoder.embedded(regions, places)
    seconds = perf_counter() - started
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    drawn, asked, others = [], [], []
    off_grid: dict[str, list[tuple[bool, bool]]] = {"4x4": [], "5x4": [], "doubled": []}
    for scene, part in zip(scenes, torch.split(seen, [s.rows * s.cols for s in scenes]), strict=True):
        cosines = (encoder.texts([query.text for query in scene.queries]) @ part.T).detach().numpy()
        of_scene: dict[str, list[bool]] = {}
        for query, row in zip(scene.queries, cosines, strict=True):
            values = shipped.quantised(row)
            of_scene.setdefault(query.kind, []).append(bool(values[query.cell] > np.delete(values, query.cell).max()))
            asked.append(row[query.cell])
            others.append(np.delete(row, query.cell).mean())
        for kind, found in of_scene.items():
            hits[kind] += found
        kind = str(rng.choice(list(of_scene)))
        drawn.append(rng.choice(of_scene[kind]))
        fitting = [query for query in scene.queries if query.kind == kind]
        chosen = fitting[int(rng.integers(len(fitting)))]
        for name, rows, cols in (("4x4", 4, 4), ("5x4", 5, 4), ("doubled", 2 * scene.rows, 2 * scene.cols)):
            off_grid[name].append(_found(encoder, scene, chosen, grid(rows, cols)))
    everything = [hit for found in hits.values() for hit in found]
    weights = SHIPPED
    return {
        "queries": len(everything),
        "top": round(float(np.mean(everything)), 4),
        "top_drawn": round(float(np.mean(drawn)), 4),
        "top_by_kind": {kind: [round(float(np.mean(found)), 4), len(found)] for kind, found in hits.items()},
        "off_grid": {
            name: dict(zip(("hit", "most"), np.mean(found, axis=0).round(4).tolist(), strict=True))
            for name, found in off_grid.items()
        },
        "mean_cosine": {"asked": round(float(np.mean(asked)), 3), "others": round(float(np.mean(others)), 3)},
        "parameters": sum(value.numel() for value in encoder.parameters()),
        "parameters_not_of_the_table": sum(v.numel() for n, v in encoder.named_parameters() if n != "table.weight"),
        "file_bytes": weights.stat().st_size,
        "regions": len(regions),
        "regions_a_second": round(len(regions) / seconds),
    }


def _found(encoder: shipped.Encoder, scene: Scene, query: Query, places: np.ndarray) -> tuple[bool, bool]:
    """Whether the top region holds part of the queried object, and whether it holds the most."""
    box = scene.boxes[[thing.cell == query.cell for thing in scene.things]]
    (shares,) = shares_of(box, places)
    regions = crop(Image.fromarray(scene.picture), places, REGION)
    share = shares[encoder.cosines(regions, places, query.text).argmax()]
    return bool(share >= HOLDS), bool(share > 0.999 * shares.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(shipped.load_encoder())
    text = json.dumps(found, indent=1, sort_keys=True)
    print(text)
    if wanted.json:
        wanted.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

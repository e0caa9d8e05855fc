"""Reports of units that nobody built, as `write` would give them; their files are there, and empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.planning import Plan
from pipeline.schema import REJECTS
from pipeline.tasks import DATA, INDEX, PACKS_PER_FILE, SUMMARY, TASK, to_stream
from pipeline.types import Unit
from pipeline.units import recipe_hash, unit_id, unit_recipe

PACK_SAMPLES = 8
"""Samples of a pack, about: those of the manual have 1,000 tokens on average, a pack 8,192."""
NO_REJECTS = to_stream(REJECTS.empty_table())
TOKENS = dict.fromkeys(("packs", "tokens", "text", "visual", "markers", "trained", "padding", "views"), 1)
TRAFFIC = {"requests": 1, "bytes": 1, "retries": 0}


def reports_of(plan: Plan, unit: Unit, output: Path, samples: int) -> list[pa.Table]:
    """The reports of a unit, the summary first: it passes `write` at once."""
    hashes = [(shard.name, f"{unit.number:032x}{number:032x}") for number, shard in enumerate(unit.shards)]
    identity = unit_id(hashes, recipe_hash(unit_recipe(plan.recipe, unit.source)))
    total = samples * len(unit.shards)
    packs = -(-total // PACK_SAMPLES)
    num_files = -(-packs // PACKS_PER_FILE)
    level = {"read": total, "derived": 0, "withheld": 0, "repeated": 0, "carried": 0}
    inputs = [{"shard": name, "sha256": sha, "bytes": 1, "samples": samples, "ignored": 0} for name, sha in hashes]
    summary = {
        "inputs": inputs,
        "counts": {"sample": level, "segment": level},
        "rejects": [],
        "packs": {"planned": packs, "bound": packs, "split": 0},
        "reports": 2 + num_files,
    }
    found = [_row(unit, identity, SUMMARY, 0, summary, b"")]
    for kind, folder, number in [*((DATA, "data", number) for number in range(num_files)), (INDEX, "index", 0)]:
        sha256 = f"{unit.number:032x}{number:032x}"
        path = f"{folder}/{identity}-{number:04d}-{sha256[-8:]}.parquet"
        (output / folder).mkdir(exist_ok=True, parents=True)
        (output / path).touch()
        file = {"path": path, "sha256": sha256, "bytes": 1, "rows": PACKS_PER_FILE, "kind": folder}
        note = {"file": file, "counts": TOKENS, "views": {"rendered": 1}, "traffic": TRAFFIC}
        found.append(_row(unit, identity, kind, number, note, NO_REJECTS))
    return found


def _row(unit: Unit, identity: str, kind: str, number: int, note: dict[str, Any], payload: bytes) -> pa.Table:
    values = (unit.number, identity, "plan", kind, number, json.dumps(note), payload)
    return pa.Table.from_pylist([dict(zip(TASK.names, values, strict=True))], TASK)

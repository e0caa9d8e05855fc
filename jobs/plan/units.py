"""Why a run would build each of its units: what is new, changed or gone since the output was committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.planning import Plan, latest_version
from pipeline.records import read_manifest
from pipeline.types import Unit
from pipeline.units import recipe_difference, unit_recipe

NAMED = 3
"""Shards named in a reason; of more the number is told."""


def reasons(plan: Plan, output: str) -> list[dict[str, Any]]:
    """For each unit to be built: its shards, whether it starts from an older index, and why, in words."""
    held = _committed(output)
    shas = {entry["shard"]: entry["sha256"] for manifest in held for entry in manifest["inputs"]}
    groups = {
        entry["shard"]: frozenset(one["shard"] for one in manifest["inputs"])
        for manifest in held
        for entry in manifest["inputs"]
    }
    recipes = {entry["shard"]: manifest["recipe"] for manifest in held for entry in manifest["inputs"]}
    present = {shard.name for unit in plan.todo for shard in unit.shards}
    return [
        {
            "unit": unit.number,
            "source": unit.source.label,
            "shards": [shard.name for shard in unit.shards],
            "replanned": unit.older is not None,
            "why": _why(unit, plan, shas, groups, recipes, present) if held else "nothing is committed yet",
        }
        for unit in plan.todo
    ]


def _committed(output: str) -> list[dict[str, Any]]:
    """Manifests of the newest version; before the first, of all units that are committed."""
    _, version = latest_version(output)
    names = [f"{unit}.json" for unit in version["units"]] if version is not None else None
    folder = storage.join(output, "manifests")
    urls = [storage.join(folder, name) for name in (storage.list_names(folder) if names is None else names)]
    return [read_manifest(url) for url in urls if url.endswith(".json")]


def _why(
    unit: Unit,
    plan: Plan,
    shas: Mapping[str, str],
    groups: Mapping[str, frozenset[str]],
    recipes: Mapping[str, Mapping[str, Any]],
    present: set[str],
) -> str:
    names = [shard.name for shard in unit.shards]
    old = [name for name in names if name in shas]
    changed = [
        shard.name for shard in unit.shards if shard.name in shas and plan.known.get(shard.url) != shas[shard.name]
    ]
    # Out of the input, or, where a border moved, in another unit that is committed.
    gone = sorted({name for shard in old for name in groups[shard]} - present)
    found = [
        _told("added", [name for name in names if name not in shas]),
        _told("changed", changed),
        _told("no longer with it", gone),
    ]
    if old:
        difference = recipe_difference(dict(recipes[old[0]]), unit_recipe(plan.recipe, unit.source))
        found += [f"recipe: {'; '.join(difference[:NAMED])}"] if difference else []
    return "; ".join(reason for reason in found if reason) or "a border between units moved, or a limit"


def _told(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}: {', '.join(names[:NAMED])}{more}" if names else ""

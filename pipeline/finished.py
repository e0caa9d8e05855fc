"""Whether there is anything to do: the newest version is, unit for unit, what a plan would make.

Asked before a run writes its first byte. It reads the version and, beside it, only the manifests of closing units,
so that a thousand units cost as little as one.
"""

from __future__ import annotations

from typing import Any

from pipeline import storage
from pipeline.planning import Plan, latest_version
from pipeline.records import read_manifest
from pipeline.schema import SCHEMA_VERSION


def finished_version(output: str, plan: Plan) -> tuple[int, dict[str, Any]] | None:
    """The newest version's number and content, or None if a run of the plan would write another."""
    number, version = latest_version(output)
    if plan.todo or version is None or not _is_of(version, plan):
        return None
    others = set(version["units"]) - set(plan.done)
    if len(others) + len(set(plan.done)) != len(version["units"]):
        return None  # it lacks a unit
    if len(others) > len(plan.sources):
        return None  # of units that are none of the plan's, a source has at most its closing unit
    folder = storage.join(output, "manifests")
    if not {f"{unit}.json" for unit in others} <= set(storage.list_names(folder) if others else ()):
        return None  # it names a unit that is gone
    manifests = [read_manifest(storage.join(folder, f"{unit}.json")) for unit in sorted(others)]
    return (number, version) if all("closes" in manifest for manifest in manifests) else None


def _is_of(version: dict[str, Any], plan: Plan) -> bool:
    """Whether all that a version says beside its units and their sums is what the plan says."""
    sources = {
        source.label: {"format": source.format, "weight": source.weight, "max_samples": source.max_samples}
        for source in plan.sources
    }
    found = {
        label: {name: entry[name] for name in ("format", "weight", "max_samples")}
        for label, entry in version["sources"].items()
    }
    return (version["schema_version"], version["recipe"], version["withheld_shards"], found) == (
        SCHEMA_VERSION,
        plan.recipe,
        list(plan.withheld_shards),
        sources,
    )

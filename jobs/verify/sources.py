"""The sources of a version: which unit belongs to which, by the same recipe, with the shards and sums that it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.verify.findings import Report
from jobs.verify.records import Manifest, Version

ONLY = "input"
"""What the source of a job is called that mixes none."""


def check_sources(where: str, version: Version, manifests: Sequence[Manifest], report: Report) -> None:
    """Findings of units in no source or in several, of manifests and shards of another source, and of sums."""
    listed = [unit for entry in version.sources.values() for unit in entry.units]
    report.expect(where, "units of the sources", sorted(listed), sorted(version.units))
    is_mixture = mixes(version, manifests)
    for name, entry in version.sources.items():
        totals: dict[str, dict[str, int]] = {}
        report.expect(where, f"sources.{name}.units", list(entry.units), sorted(set(entry.units)))
        for manifest in (manifest for manifest in manifests if manifest.unit in set(entry.units)):
            source = {"format": entry.format, "weight": entry.weight} | ({"name": name} if is_mixture else {})
            if manifest.recipe != version.recipe | {"source": source}:
                report.add(manifest.where, f"recipe is not that of the version and of its source {name}")
            strays = [one.shard for one in manifest.inputs if is_mixture and not one.shard.startswith(f"{name}/")]
            if strays:
                report.add(manifest.where, f"has the shard {strays[0]}; shards of source {name} expected")
            for section, counts in manifest.counts.items():
                totals[section] = add(totals.get(section, {}), counts)
        report.expect(where, f"sources.{name}.totals", entry.totals, totals)


def mixes(version: Version, manifests: Sequence[Manifest]) -> bool:
    """Whether the job is a mixture, which may have one source alone, and that may be called as an only one is."""
    named = [manifest.recipe.get("source", {}) for manifest in manifests]
    return set(version.sources) != {ONLY} or any("name" in source for source in named)


def add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, Any]:
    """Sums by name; the names of both are kept."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in [*one, *(n for n in other if n not in one)]}

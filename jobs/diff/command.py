"""What changed between two versions of an output, from their records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs.diff.units import Side, Unit, changed_units
from jobs.inspect.output import Output, open_output
from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.ledger import fill
from pipeline.planning import version_numbers
from pipeline.types import ONLY_SOURCE
from pipeline.units import recipe_difference

SECTIONS = ("samples", "segments", "tokens", "packs")


def diff(url: str, versions: Sequence[int]) -> dict[str, Any]:
    """What changed from one version of the output at `url` to another; by default, from the last but one to the newest.

    ConfigError if there is no such output or version, or only one.
    """
    newest = open_output(url)
    if not versions:
        numbers = version_numbers(url)
        if len(numbers) == 1:
            raise ConfigError(f"{url} has one version, {numbers[0]}; two are expected: run its job on other shards")
        versions = numbers[-2:]
    if len(versions) != 2:
        raise ConfigError(f"{len(versions)} version(s) named; two are compared: say both, or none: diff OUT A B")
    before, after = (newest if number == newest.number else open_output(url, number) for number in versions)
    old, new = _side(before), _side(after)
    return {
        "output": url,
        "from": before.number,
        "to": after.number,
        "inputs": {name: _inputs(name, old, new) for name in sorted(old.sources | new.sources)},
        "recipe": recipe_difference(before.recipe, after.recipe),
        "sources": _settings(before, after),
        "units": {
            "kept": len(old.units.keys() & new.units.keys()),
            "new": changed_units(new, old, "added"),
            "gone": changed_units(old, new, "removed"),
        },
        "counts": {
            "all": _counts(before.version["totals"], after.version["totals"]),
            "sources": {
                name: _counts(*(one.version["sources"].get(name, {}).get("totals", {}) for one in (before, after)))
                for name in sorted(old.sources | new.sources)
            },
        },
        "reasons": _pairs(before.version["reasons"], after.version["reasons"]),
        "withheld_shards": [len(one.version["withheld_shards"]) for one in (before, after)],
    }


def _side(output: Output) -> Side:
    with ThreadPoolExecutor(storage.THREADS) as threads:
        manifests = threads.map(output.manifest, output.units)
        units = [
            Unit(
                id=manifest["unit"],
                source=manifest["recipe"]["source"].get("name", ONLY_SOURCE),
                recipe_id=manifest["recipe_id"],
                shards={entry["shard"]: (entry["sha256"], entry.get("take")) for entry in manifest["inputs"]},
                closes=tuple(manifest.get("closes", ())),
            )
            for manifest in manifests
        ]
    return Side({unit.id: unit for unit in units}, frozenset(output.version["sources"]))


def _inputs(source: str, old: Side, new: Side) -> dict[str, Any]:
    """The shards of a source by what became of them; a shard of which other samples are taken has changed."""
    before, after = old.shards(source), new.shards(source)
    both = before.keys() & after.keys()
    changed = sorted(shard for shard in both if before[shard] != after[shard])
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": changed,
        "kept": len(both) - len(changed),
    }


def _settings(before: Output, after: Output) -> list[str]:
    """What sources differ in beside their shards: one that came or went, its format, weight or max_samples."""
    old, new = (
        {
            name: {field: source[field] for field in ("format", "weight", "max_samples")}
            for name, source in one.version["sources"].items()
        }
        for one in (before, after)
    )
    return recipe_difference(old, new)


def _counts(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Each count of a version or a source, and the fill of its packs, before and after."""
    found: dict[str, Any] = {name: _pairs(old.get(name, {}), new.get(name, {})) for name in SECTIONS}
    return found | {"fill": [fill(old), fill(new)]}


def _pairs(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, list[int]]:
    return {name: [old.get(name, 0), new.get(name, 0)] for name in sorted(old.keys() | new.keys())}

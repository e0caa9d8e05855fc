"""Why a unit of one version is none of another's: which of its shards are others, or stand in other company."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Content = tuple[str, int | None]
"""sha256 of a shard, and how many of its samples are taken; None: all."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a manifest says of where its unit came from."""

    id: str
    source: str
    recipe_id: str
    shards: Mapping[str, Content]
    """By name, in order."""
    closes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two versions."""

    units: Mapping[str, Unit]
    sources: frozenset[str]

    def shards(self, source: str) -> dict[str, Content]:
        """Of a source, by name."""
        return {
            name: content
            for unit in self.units.values()
            if unit.source == source
            for name, content in unit.shards.items()
        }

    def holders(self) -> dict[tuple[str, str], Unit]:
        """The unit that holds each shard, by source and name."""
        return {(unit.source, name): unit for unit in self.units.values() for name in unit.shards}


def changed_units(own: Side, other: Side, absent: str) -> list[dict[str, Any]]:
    """The units that only `own` has, each with its causes, by their first shards.

    absent: what a shard is called that the other version does not have: added, or removed.
    """
    holders, mine = other.holders(), own.holders()
    found = [unit for name, unit in own.units.items() if name not in other.units]
    return [
        {"unit": unit.id, "source": unit.source, "shards": list(unit.shards)} | _causes(unit, holders, mine, absent)
        for unit in sorted(found, key=lambda unit: (unit.source, *unit.shards, unit.id))
    ]


def _causes(
    unit: Unit, others: Mapping[tuple[str, str], Unit], mine: Mapping[tuple[str, str], Unit], absent: str
) -> dict[str, Any]:
    """Shards by what sets the unit apart, of each only what there is.

    added or removed: not in the other version. changed: in it with other content. left: in the unit's counterpart
    there, and not in this version at all. moved: in another unit's company than there, as a border moved. And whether
    the recipe of its source is another, or it closes other units.
    """
    counterparts = {held.id: held for name in unit.shards if (held := others.get((unit.source, name))) is not None}
    company = {name for held in counterparts.values() for name in held.shards}
    alone = [name for name in unit.shards if (unit.source, name) not in others]
    changed = [
        name
        for name, content in unit.shards.items()
        if (held := others.get((unit.source, name))) is not None and held.shards[name] != content
    ]
    left = sorted(name for name in company if (unit.source, name) not in mine)
    strangers = company - set(unit.shards) - set(left)
    joined = unit.shards if len(counterparts) > 1 else ()
    causes: dict[str, Any] = {absent: alone, "changed": changed, "left": left, "moved": sorted({*strangers, *joined})}
    causes["recipe"] = any(held.recipe_id != unit.recipe_id for held in counterparts.values())
    causes["closes"] = bool(unit.closes)
    return {name: value for name, value in causes.items() if value}

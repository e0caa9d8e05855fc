"""Which shards stand for the others: of each source a few, spread over the sizes, always the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.plan.headers import BYTES, MEASURES, measures
from pipeline.planning import Plan
from pipeline.types import Shard, Source, Unit


@dataclass(frozen=True, slots=True)
class Part:
    """A shard that a run would read, and how much of it."""

    shard: Shard
    unit: int
    take: int | None
    """Samples that a limited run takes of it; None: all."""
    holds: Mapping[str, float]
    """What the forecast scales with, by MEASURES; in a limited run each of them is the samples taken."""
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Stratum:
    """A source: all that a run would read of it, and what is chosen to stand for that."""

    source: Source
    parts: tuple[Part, ...]
    chosen: tuple[Part, ...]

    def total(self, measure: str) -> float:
        """What all parts hold."""
        return sum(part.holds[measure] for part in self.parts)


def choose(plan: Plan, num_shards: int) -> list[Stratum]:
    """Of each source with something to build, `num_shards` shards, or all it has if those are fewer.

    The shards are put in order of size and cut into groups of about equal bytes; of each the shard is taken in which
    the middle byte lies. So large shards stand for the many bytes that they hold, and the choice never changes.
    """
    sizes = {url: int(stamp.partition(":")[0]) for url, stamp in plan.fingerprints.items()}
    found: list[Stratum] = []
    for source in plan.sources:
        units = [unit for unit in plan.todo if unit.source == source]
        held = dict(zip(*_measured(units, sizes), strict=True))
        parts = [part for unit in units for part in _parts(unit, sizes, held)]
        if parts:
            found.append(Stratum(source, tuple(parts), tuple(_spread(parts, num_shards))))
    return found


def _measured(units: Sequence[Unit], sizes: Mapping[str, int]) -> tuple[list[str], list[dict[str, float]]]:
    """Names of shards, and what each holds; of a limited run only the samples taken count."""
    shards = [shard for unit in units for shard in unit.shards]
    if any(unit.take is not None for unit in units):
        takes = [take for unit in units for take in unit.take or ()]
        return [shard.name for shard in shards], [dict.fromkeys(MEASURES, float(take)) for take in takes]
    return [shard.name for shard in shards], measures(shards, sizes)


def _parts(unit: Unit, sizes: Mapping[str, int], held: Mapping[str, dict[str, float]]) -> list[Part]:
    takes: Sequence[int | None] = unit.take if unit.take is not None else [None] * len(unit.shards)
    return [
        Part(shard, unit.number, take, held[shard.name], sizes[shard.url])
        for shard, take in zip(unit.shards, takes, strict=True)
        if take != 0
    ]


def _spread(parts: Sequence[Part], number: int) -> list[Part]:
    """One part of each of `number` groups of about equal weight."""
    left = sorted(parts, key=lambda part: (part.holds[BYTES], part.shard.name))
    chosen: list[Part] = []
    while left and len(chosen) < number:
        wanted = number - len(chosen)
        share = sum(part.holds[BYTES] for part in left) / wanted
        group = [left.pop(0)]
        # The groups that follow need a shard each.
        while len(left) >= wanted and sum(p.holds[BYTES] for p in group) + left[0].holds[BYTES] / 2 <= share:
            group.append(left.pop(0))
        chosen.append(_middle(group))
    return chosen


def _middle(group: Sequence[Part]) -> Part:
    """The part in which half of the group's weight is reached."""
    running, half = 0.0, sum(part.holds[BYTES] for part in group) / 2
    for part in group:
        running += part.holds[BYTES]
        if running >= half:
            return part
    return group[-1]

"""Which shards stand for the others: of each source a few, spread over the sizes, always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.planning import Plan
from pipeline.types import Shard, Source, Unit


@dataclass(frozen=True, slots=True)
class Part:
    """A shard that a run would read, and how much of it."""

    shard: Shard
    unit: int
    take: int | None
    """Samples that a limited run takes of it; None: all."""
    weight: float
    """What the forecast scales with: bytes of the shard, or, in a limited run, the samples taken."""
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Stratum:
    """A source: all that a run would read of it, and what is chosen to stand for that."""

    source: Source
    parts: tuple[Part, ...]
    chosen: tuple[Part, ...]

    @property
    def total(self) -> float:
        """Of all parts, in the measure that the forecast scales with."""
        return sum(part.weight for part in self.parts)


def choose(plan: Plan, num_shards: int) -> list[Stratum]:
    """Of each source with something to build, `num_shards` shards, or all it has if those are fewer.

    The shards are put in order of size and cut into as many parts of equal bytes; of each part a shard is taken whose
    name's hash is the least. So large shards stand for the many bytes that they hold, and the choice never changes.
    """
    sizes = {url: int(stamp.partition(":")[0]) for url, stamp in plan.fingerprints.items()}
    found: list[Stratum] = []
    for source in plan.sources:
        parts = [part for unit in plan.todo if unit.source == source for part in _parts(unit, sizes)]
        if parts:
            found.append(Stratum(source, tuple(parts), tuple(_spread(parts, num_shards))))
    return found


def _parts(unit: Unit, sizes: Mapping[str, int]) -> list[Part]:
    takes: Sequence[int | None] = unit.take if unit.take is not None else [None] * len(unit.shards)
    return [
        Part(shard, unit.number, take, float(sizes[shard.url] if take is None else take), sizes[shard.url])
        for shard, take in zip(unit.shards, takes, strict=True)
        if take != 0
    ]


def _spread(parts: Sequence[Part], number: int) -> list[Part]:
    """One part of each of `number` strata of about equal weight."""
    left = sorted(parts, key=lambda part: (part.weight, part.shard.name))
    chosen: list[Part] = []
    while left and len(chosen) < number:
        share = sum(part.weight for part in left) / (number - len(chosen))
        group = [left.pop(0)]
        # The strata that follow need a shard each.
        while len(left) > number - len(chosen) - 1 and sum(p.weight for p in group) + left[0].weight / 2 <= share:
            group.append(left.pop(0))
        chosen.append(min(group, key=lambda part: hashlib.sha256(part.shard.name.encode()).digest()))
    return chosen

"""How fast a run was once it ran: the same rule for whoever says when its shards were done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WARMING = 5
"""One of so many parts of the shards is done before the steady state begins."""


@dataclass(frozen=True, slots=True)
class Done:
    """One shard that is finished."""

    at: float
    """Seconds since 1970."""
    images: int
    tokens: int
    bytes: int
    """Of input."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A second, in steady state."""

    images: float
    tokens: float
    bytes: float


def steady_rates(done: Sequence[Done], cores: int) -> Rates:
    """What was finished between the moment when a fifth of the shards was and the end, by the seconds between.

    A fifth, rounded up to a multiple of the cores: where each core has a shard, they end about together, and from the
    first of them on the others' work would be had for nothing. ValueError where nothing is left behind that moment.
    """
    ordered = sorted(done, key=lambda one: one.at)
    fifth = -(-len(ordered) // WARMING)
    start = -(-fifth // cores) * cores
    counted = ordered[start:]
    if not counted or counted[-1].at <= ordered[start - 1].at:
        raise ValueError(f"{len(ordered)} shards on {cores} cores have no steady state; give more shards")
    seconds = counted[-1].at - ordered[start - 1].at
    images, tokens, num_bytes = (sum(getattr(one, name) for one in counted) for name in ("images", "tokens", "bytes"))
    return Rates(images / seconds, tokens / seconds, num_bytes / seconds)


def goal_against_usual(goal: float, bare: float) -> float:
    """The goal, or nine tenths of what the bare loop reaches on this mix of pictures where that is below the goal."""
    return goal if bare >= goal else 0.9 * bare

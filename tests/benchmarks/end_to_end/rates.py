"""How fast a contender is once it runs, from two runs: one of a quarter of the shards, and one of all.

From the times at which a single run's shards are done it cannot be told. A pipeline may have half of the rest under way
when the first of them comes out: 72 scored pictures came out of Ray within .03 s of each other, 45 s after its start.
What a run takes beyond a shorter one, it takes for what it has more: starting, importing, filling and draining a
pipeline are in both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One run from the command to its end."""

    seconds: float
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


def steady_rates(few: Run, many: Run) -> Rates:
    """What `many` did beyond `few`, by the seconds that it took longer. ValueError where it took no longer."""
    seconds = many.seconds - few.seconds
    if seconds <= 0:
        raise ValueError(
            f"{many.images} images took {many.seconds:.1f} s, {few.images} took {few.seconds:.1f} s: no rate follows; "
            "give more images"
        )
    images, tokens, num_bytes = (getattr(many, name) - getattr(few, name) for name in ("images", "tokens", "bytes"))
    return Rates(images / seconds, tokens / seconds, num_bytes / seconds)


def goal_against_usual(goal: float, bare: float) -> float:
    """The goal, or nine tenths of what the bare loop reaches on this mix of pictures where that is below the goal."""
    return goal if bare >= goal else 0.9 * bare

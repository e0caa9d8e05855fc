"""What will hurt when a job is run, in a sentence each, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jobs.plan.choosing import Stratum
from jobs.plan.estimating import Estimate
from operators.budget import BudgetConfig

HUGE = 4.0
"""Times the median shard: one that is larger is read, packed and written when all others are done."""
FEW_SEQUENCES = 20
"""A unit of fewer loses more than 2.5 % to its last, half-filled sequence."""
UNDER_FLOOR = 0.01
"""Share of images under their floor that is worth a word."""


class Caution(NamedTuple):
    """One warning; kind is for machines."""

    kind: str
    text: str


def huge_shards(strata: Sequence[Stratum]) -> list[Caution]:
    """The largest shard of each source, if it is out of proportion."""
    found: list[Caution] = []
    for stratum in strata:
        sizes = sorted(part.num_bytes for part in stratum.parts)
        largest, median = max(stratum.parts, key=lambda part: part.num_bytes), sizes[len(sizes) // 2]
        if len(sizes) > 2 and largest.num_bytes > HUGE * median:
            times = largest.num_bytes / max(1, median)
            text = f"{largest.shard.name} has {largest.num_bytes / 1e6:,.1f} MB, {times:.1f} times the median shard"
            found.append(Caution("huge-shard", f"{text}: one task reads it from end to end; split it"))
    return found


def few_documents(sequences: Mapping[int, float]) -> list[Caution]:
    """Units so small that their last sequence shows in the fill."""
    small = [amount for amount in sequences.values() if amount < FEW_SEQUENCES]
    if not small:
        return []
    text = f"{len(small)} of {len(sequences)} units looked at have only about {sum(small) / len(small):.0f} sequences"
    remedy = "raise unit.target_shards, or say pack.closing: true"
    return [Caution("few-documents", f"{text}, and each ends with one that is part-filled: {remedy}")]


def floors(images: Estimate, under: Estimate, budget: BudgetConfig | None) -> list[Caution]:
    """A budget whose total for an image leaves no room for the floors of its regions."""
    if budget is None or under.value <= UNDER_FLOOR * images.value:
        return []
    share = under.value / images.value
    text = f"{share:.0%} of the images have so many regions that budget.min_tokens, {budget.min_tokens}, is more"
    remedy = "raise budget.max_image_tokens or lower min_tokens"
    return [Caution("under-floor", f"{text} than their total holds: floors give way; {remedy}")]


def rejects(samples: Estimate, faults: Estimate, most: float) -> list[Caution]:
    """More rejects, without those of filters, than the job allows, or perhaps more."""
    if not samples.value or faults.high <= most * samples.value:
        return []
    may = "will" if faults.value > most * samples.value else "may"
    share, high = (number / samples.value for number in (faults.value, faults.high))
    text = f"{share:.1%} of the samples are rejected (at most {high:.1%}), limits.max_reject_ratio is {most:.1%}"
    return [Caution("rejects", f"{text}: the run {may} fail; mend the input, or raise it")]


def guessed(slow: Sequence[str], num_replanned: int) -> list[Caution]:
    """Costs that are too high in the forecast. slow: operators for GPUs, measured without; units to be re-planned."""
    found: list[Caution] = []
    if slow:
        text = f"{' and '.join(slow)} would run on GPUs and was measured on this machine's CPUs"
        found.append(Caution("no-gpu", f"{text}: CPU-hours, GPU-hours and wall time are upper bounds; plan on a GPU"))
    if num_replanned:
        text = f"{num_replanned} units are re-planned from indexes, without decoding or scoring"
        found.append(Caution("replanned", f"{text}: hours and wall time are upper bounds, as if they were read anew"))
    return found


def pools(why: str) -> list[Caution]:
    """Pools that do not fit the cluster; why: what `place` says."""
    return [Caution("pools", why)]

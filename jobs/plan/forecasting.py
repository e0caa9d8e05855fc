"""What a run will make and cost, from the shards that were measured: every number with its 90 % interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from jobs.plan.choosing import Stratum
from jobs.plan.estimating import FEW_DEGREES, NOTHING, Estimate, Moments, ratio
from jobs.plan.headers import BYTES, PICTURES, SAMPLES, TEXT
from jobs.plan.measuring import Measured, Sampling
from jobs.plan.packed import REJECTED

CPU_NOISE = 0.12
"""Standard error of CPU seconds, as a share: the same work again on a machine that others use."""
WALL_NOISE = 0.3
"""The same of wall seconds of one process."""
MEASURE_OF = {
    "text": TEXT,
    "visual": PICTURES,
    "marks": PICTURES,
    "images": PICTURES,
    "images_under_floor": PICTURES,
    "picture_bytes": PICTURES,
    "other_bytes": TEXT,
    "read": BYTES,
    "decode": PICTURES,
    "discretise": PICTURES,
    "slice": PICTURES,
    "score": PICTURES,
    "write": PICTURES,
}
"""What each value, and the time of each operator, goes with; all others go with samples."""
SUMS = {"tokens": ("text", "visual", "marks"), "output_bytes": ("picture_bytes", "other_bytes")}
"""Each of their parts goes with something else."""
COUNTED = ("packed", "rejected", "images", "images_under_floor")

Shards = Mapping[str, Sequence[Measured]]


def forecast_values(strata: Sequence[Stratum], shards: Shards) -> dict[str, Moments]:
    """samples, each of COUNTED and of SUMS with its parts, and `rejected REASON` for every reason that was seen."""
    seen = {name for of in shards.values() for one in of for name in one.packed.values if name.startswith(REJECTED)}
    pairs = [(stratum, shards[stratum.source.label]) for stratum in strata]
    names = ("samples", *COUNTED, *(part for parts in SUMS.values() for part in parts), *sorted(seen))
    found = {name: _sum(_of_samples(*pair, name) for pair in pairs) for name in names}
    return found | {name: _sum(found[part] for part in parts) for name, parts in SUMS.items()}


def forecast_seconds(strata: Sequence[Stratum], sampling: Sampling) -> tuple[dict[str, Moments], Moments, Moments]:
    """CPU seconds of each operator, of all together, and wall seconds of one process; without their starts."""

    def seconds(name: str, clock: str) -> Moments:
        return _sum(_of_shards(one, sampling.shards[one.source.label], name, clock) for one in strata)

    cpu = {name: seconds(name, "cpu") for name in sampling.operators}
    wall = _sum(seconds(name, "wall") for name in sampling.operators)
    each = {name: _noisy(found, CPU_NOISE) for name, found in cpu.items()}
    return each, _noisy(_sum(cpu.values()), CPU_NOISE), _noisy(wall, WALL_NOISE)


def _noisy(found: Moments, noise: float) -> Moments:
    return Moments(found.value, found.variance + (noise * found.value) ** 2, min(found.degrees, FEW_DEGREES))


def quotient(number: Estimate, places: float, fill: Estimate) -> Estimate:
    """Sequences that so many tokens take, of so many places each, at that fill."""
    if not number.value or not fill.value:
        return Estimate(0.0, 0.0, 0.0)
    value = number.value / places / fill.value
    down = ((number.value - number.low) / number.value) ** 2 + ((fill.high - fill.value) / fill.value) ** 2
    up = ((number.high - number.value) / number.value) ** 2 + ((fill.value - fill.low) / fill.value) ** 2
    return Estimate(value, max(0.0, value * (1 - down**0.5)), value * (1 + up**0.5))


def shifted(moments: Moments, start: float, unit: float) -> Estimate:
    """Seconds with those of a start, in a larger unit."""
    found = moments.estimate()
    return Estimate(*((start + seconds) / unit for seconds in (found.value, found.low, found.high)))


def _sum(moments: Iterable[Moments]) -> Moments:
    return reduce(add, moments, NOTHING)


def _of_samples(stratum: Stratum, shards: Sequence[Measured], name: str) -> Moments:
    measure = _measure_of(name, shards)
    places = [i for i, one in enumerate(shards) for _ in one.holds[measure]]
    holds = [number for one in shards for number in one.holds[measure].values()]
    values = [_value(one, ordinal, name) for one in shards for ordinal in one.holds[measure]]
    found = (np.array(holds, np.float64), np.array(values, np.float64))
    return ratio(np.array(places, np.int64), *found, stratum.total(measure), len(stratum.parts))


def _measure_of(name: str, shards: Sequence[Measured]) -> str:
    """What a value goes with: samples, if the sampled shards hold nothing of what it should go with."""
    measure = MEASURE_OF.get(name, SAMPLES)
    return measure if any(one.part.holds[measure] for one in shards) else SAMPLES


def _value(one: Measured, ordinal: int, name: str) -> float:
    return 1.0 if name == "samples" else one.packed.values[name].get(ordinal, 0.0)


def _of_shards(stratum: Stratum, shards: Sequence[Measured], operator: str, clock: str) -> Moments:
    measure = _measure_of(operator, shards)
    holds = np.array([one.part.holds[measure] for one in shards], np.float64)
    values = np.array([getattr(one, clock).get(operator, 0.0) for one in shards], np.float64)
    return ratio(np.arange(len(shards)), holds, values, stratum.total(measure), len(stratum.parts))

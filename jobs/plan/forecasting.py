"""What a run will make and cost, from the shards that were measured: every number with its 90 % interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from jobs.plan.choosing import Stratum
from jobs.plan.estimating import NOTHING, Estimate, Moments, ratio
from jobs.plan.measuring import Measured, Sampling
from jobs.plan.packed import REJECTED

CPU_NOISE = 0.12
"""Standard error of CPU seconds, as a share: the same work again on a machine that others use."""
WALL_NOISE = 0.3
"""The same of wall seconds of one process."""
COUNTED = ("tokens", "text", "visual", "packed", "rejected", "output_bytes", "images", "images_under_floor")

Shards = Mapping[str, Sequence[Measured]]


def forecast_values(strata: Sequence[Stratum], shards: Shards) -> dict[str, Moments]:
    """samples, each of COUNTED, and `rejected REASON` for every reason that was seen."""
    seen = {name for of in shards.values() for one in of for name in one.packed.values if name.startswith(REJECTED)}
    names = ("samples", *COUNTED, *sorted(seen))
    return {
        name: _sum(_of_samples(stratum, shards[stratum.source.label], name) for stratum in strata) for name in names
    }


def forecast_seconds(strata: Sequence[Stratum], sampling: Sampling) -> tuple[dict[str, Moments], Moments, Moments]:
    """CPU seconds of each operator, of all together, and wall seconds of one process; without their starts."""

    def seconds(names: Sequence[str], clock: str, noise: float) -> Moments:
        found = _sum(_of_shards(one, sampling.shards[one.source.label], names, clock) for one in strata)
        return Moments(found.value, found.variance + (noise * found.value) ** 2, found.degrees)

    names = sampling.operators
    each = {name: seconds([name], "cpu", CPU_NOISE) for name in names}
    return each, seconds(names, "cpu", CPU_NOISE), seconds(names, "wall", WALL_NOISE)


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
    places = [i for i, one in enumerate(shards) for _ in one.weights]
    weights = [weight for one in shards for weight in one.weights.values()]
    values = [_value(one, ordinal, name) for one in shards for ordinal in one.weights]
    found = (np.array(weights, np.float64), np.array(values, np.float64))
    return ratio(np.array(places, np.int64), *found, stratum.total, len(stratum.parts))


def _value(one: Measured, ordinal: int, name: str) -> float:
    return 1.0 if name == "samples" else one.packed.values[name].get(ordinal, 0.0)


def _of_shards(stratum: Stratum, shards: Sequence[Measured], operators: Sequence[str], clock: str) -> Moments:
    weights = np.array([one.part.weight for one in shards], np.float64)
    values = [sum(getattr(one, clock).get(name, 0.0) for name in operators) for one in shards]
    places = np.arange(len(shards))
    return ratio(places, weights, np.array(values, np.float64), stratum.total, len(stratum.parts))

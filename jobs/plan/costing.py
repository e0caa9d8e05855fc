"""CPU-hours, GPU-hours and wall time of a run, on a cluster of a certain shape or without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.plan.choosing import Stratum
from jobs.plan.clusters import Placed, wall_seconds
from jobs.plan.estimating import Estimate
from jobs.plan.forecasting import forecast_seconds, shifted
from jobs.plan.measuring import Sampling
from jobs.shapes import Shape

HOUR = 3600.0
WALL_SPREAD = (0.75, 1.8)
"""Wall seconds on a cluster over those that are reckoned, at least and at most: its CPUs are of another kind, its
stores of another speed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run takes; wall time and GPU-hours are None where its pools do not fit the cluster."""

    operators: dict[str, Estimate]
    """CPU-hours of each."""
    cpu_hours: Estimate
    gpu_hours: Estimate | None
    wall_seconds: Estimate | None
    slowest: str | None
    """What holds the run up: an operator, the CPUs, or the largest shard."""


def cost_of(strata: Sequence[Stratum], sampling: Sampling, placed: Placed | None, shape: Shape, processes: int) -> Cost:
    """placed: where the pools stand on the cluster; None if they do not fit. processes: of a run without Ray, or 0."""
    each, together, wall = forecast_seconds(strata, sampling)
    actors = placed.actors if placed is not None and not processes else {}
    starts = {name: seconds * actors.get(name, processes or 1) for name, seconds in sampling.start_cpu.items()}
    operators = {name: shifted(found, starts.get(name, 0.0), HOUR) for name, found in each.items()}
    total = shifted(together, sum(starts.values()), HOUR)
    if not strata:
        zero = Estimate(0.0, 0.0, 0.0)
        return Cost({}, zero, zero, zero, None)
    if processes:  # each does its part, on a core of its own, and all of them start
        lasts = shifted(wall, sum(sampling.start_wall.values()) * processes, processes)
        return Cost(operators, total, Estimate(0.0, 0.0, 0.0), lasts, max(each, key=lambda name: each[name].value))
    if placed is None:
        return Cost(operators, total, None, None, None)
    sizes = [part.num_bytes for stratum in strata for part in stratum.parts]
    num_units = len({part.unit for stratum in strata for part in stratum.parts})

    def lasting(share: float) -> tuple[float, str]:
        seconds = {name: found.value * share for name, found in each.items()}
        return wall_seconds(placed, shape, seconds, sampling.start_wall, max(sizes) / sum(sizes), num_units)

    bounds = together.estimate()
    shares = _shares(bounds)
    value, slowest = lasting(1.0)
    least, most = (spread * lasting(share)[0] for spread, share in zip(WALL_SPREAD, shares, strict=True))
    lasts = Estimate(value, least, most)
    held = Estimate(*(placed.gpus * seconds / HOUR for seconds in (value, least, most)))
    return Cost(operators, total, held, lasts, slowest)


def _shares(bounds: Estimate) -> tuple[float, float]:
    """The ends of an interval as shares of its value."""
    return bounds.low / (bounds.value or 1.0), bounds.high / (bounds.value or 1.0)

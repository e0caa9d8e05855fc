"""Makes the plan of a run and its forecast: what would be built and why, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.build import Progress
from jobs.chain import Resolved, build_chain
from jobs.plan import cautions
from jobs.plan.cautions import Caution
from jobs.plan.choosing import Stratum, choose
from jobs.plan.clusters import Placed, place
from jobs.plan.costing import cost_of
from jobs.plan.estimating import NOTHING, Estimate, Moments
from jobs.plan.filling import forecast_fill
from jobs.plan.forecasting import forecast_values, quotient
from jobs.plan.headers import SAMPLES
from jobs.plan.measuring import Sampling, lacking_gpus, measure
from jobs.plan.packed import REJECTED
from jobs.plan.units import reasons
from jobs.replanning import may_replan
from jobs.shapes import Shape, describe
from jobs.spec import Job, absolute
from operators.fitting import Fitter
from pipeline.chain import Chain
from pipeline.errors import ConfigError
from pipeline.ledger import FILTERED
from pipeline.local_workers import num_processes
from pipeline.planning import Plan, make_plan

COUNTED = {
    "samples": "samples",
    "packed": "packed",
    "rejected": "rejected",
    "images": "images",
    "tokens": "tokens",
    "text_tokens": "text",
    "visual_tokens": "visual",
    "output_bytes": "output_bytes",
}
"""What the forecast calls them, and what they are counted as."""


def forecast_job(
    resolved: Resolved, *, shards: int, shape: Shape, local: bool, rebuild: bool, progress: Progress
) -> dict[str, Any]:
    """What `run` would do with a job, and a forecast from `shards` shards of each source; writes nothing to the output.

    local: of a run with --local. ConfigError as `run` raises it; StorageError where a sampled shard cannot be read.
    """
    job = resolved.job
    plan = make_plan(
        absolute(job.output),
        resolved.inputs,
        resolved.recipe,
        target_shards=job.unit.target_shards,
        limit=job.limit,
        rebuild=rebuild,
        may_replan=may_replan,
    )
    for line in resolved.recognised.values():
        progress.notice(line)
    strata = choose(plan, shards)
    chain = build_chain(resolved)
    placed, unfit = _place(chain, shape, sum(len(unit.shards) for unit in plan.todo), local=local)
    sampling = measure(resolved, plan, strata, progress)
    values = forecast_values(strata, sampling.shards)
    limits = Fitter(job.pack, job.sequence_length, resolved.vocabulary).limits
    fill, sequences = forecast_fill(strata, sampling.shards, limits, job.pack)
    processes = num_processes(plan.todo, chain.small_bytes) if local else 0
    cost = cost_of(strata, sampling, placed, shape, processes)
    found = {name: moments.estimate() for name, moments in values.items()}
    counts = {name: found[counted].to_dict(0) for name, counted in COUNTED.items()}
    warned = [] if unfit is None else cautions.pools(unfit)
    warned += _warned(job, strata, values, sequences, sum(unit.older is not None for unit in plan.todo))
    return {
        "name": job.name,
        "output": job.output,
        "recognised": resolved.recognised,
        "units": _units(plan, absolute(job.output)),
        "pools": _pools(resolved, placed),
        "cluster": None if local else describe(shape),
        "sampled": _sampled(strata, sampling),
        "forecast": counts
        | {
            "sequences": quotient(found["tokens"], job.sequence_length, fill).to_dict(1),
            "fill": fill.to_dict(4),
            "cpu_hours": cost.cpu_hours.to_dict(6),
            "gpu_hours": _or_none(cost.gpu_hours, 6),
            "wall_seconds": _or_none(cost.wall_seconds, 1),
        },
        "slowest": cost.slowest,
        "rejects": {
            name.removeprefix(REJECTED): one.to_dict(0) for name, one in found.items() if name.startswith(REJECTED)
        },
        "operators": {name: one.to_dict(6) for name, one in cost.operators.items()},
        "sources": _by_source(strata, sampling),
        "warnings": [warning._asdict() for warning in warned],
    }


def _place(chain: Chain, shape: Shape, num_shards: int, *, local: bool) -> tuple[Placed | None, str | None]:
    """Where the pools stand; or why they do not fit, which without Ray matters to nobody."""
    try:
        return place(chain, shape, num_shards), None
    except ConfigError as error:
        return None, None if local else str(error)


def _units(plan: Plan, output: str) -> dict[str, Any]:
    """Units as a run would make them."""
    return {
        "to_build": len(plan.todo),
        "replanned": sum(unit.older is not None for unit in plan.todo),
        "committed": len(plan.done),
        "shards": sum(len(unit.shards) for unit in plan.todo),
        "withheld_shards": len(plan.withheld_shards),
        "why": reasons(plan, output),
    }


def _pools(resolved: Resolved, placed: Placed | None) -> list[dict[str, Any]]:
    """Pools with the actors that they may grow to on the cluster; as the job says where they do not fit."""
    chain = build_chain(resolved)
    groups = [(pool, [stage.name for stage in stages]) for pool, stages in chain.pools()]
    groups += [(chain.pack_pool, ["pack"]), (chain.write.pool or chain.pack_pool, [chain.write.name])]
    return [
        {
            "operators": names,
            "cpus": pool.cpus,
            "gpus": pool.gpus,
            "actors": [pool.min_actors, pool.max_actors if placed is None else placed.pools[names[0]].max_actors],
        }
        for pool, names in groups
    ]


def _sampled(strata: Sequence[Stratum], sampling: Sampling) -> dict[str, Any]:
    chosen = [part for stratum in strata for part in stratum.chosen]
    return {
        "shards": [part.shard.name for part in chosen],
        "of": sum(len(stratum.parts) for stratum in strata),
        "bytes": sum(part.num_bytes for part in chosen),
        "of_bytes": sum(part.num_bytes for stratum in strata for part in stratum.parts),
        "documents": sum(len(one.holds[SAMPLES]) for of in sampling.shards.values() for one in of),
    }


def _by_source(strata: Sequence[Stratum], sampling: Sampling) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stratum in strata:
        values = forecast_values([stratum], sampling.shards)
        counts = {name: values[counted].estimate().to_dict(0) for name, counted in COUNTED.items()}
        found[stratum.source.label] = {"weight": stratum.source.weight, "shards": len(stratum.parts)} | counts
    return found


def _warned(
    job: Job,
    strata: Sequence[Stratum],
    values: Mapping[str, Moments],
    sequences: Mapping[int, float],
    num_replanned: int,
) -> list[Caution]:
    filtered = [one for name, one in values.items() if name.startswith(f"{REJECTED}{FILTERED}")]
    faults = [one for name, one in values.items() if name.startswith(REJECTED) and one not in filtered]
    samples, images, under = (values[name].estimate() for name in ("samples", "images", "images_under_floor"))
    return [
        *cautions.guessed(lacking_gpus(job), num_replanned),
        *cautions.huge_shards(strata),
        *cautions.few_documents(sequences),
        *cautions.floors(images, under, job.budget),
        *cautions.rejects(samples, sum(faults, NOTHING).estimate(), job.limits.max_reject_ratio),
    ]


def _or_none(one: Estimate | None, digits: int) -> dict[str, float] | None:
    return None if one is None else one.to_dict(digits)

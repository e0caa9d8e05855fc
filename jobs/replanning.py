"""Which units a run may re-plan from an older build's index, and the chain that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from jobs.chain import Resolved
from operators.budget import BudgetConfig
from operators.replan import Replan
from operators.replay import replay
from operators.reweigh import Reweigh
from operators.slicing.qwen import QwenConfig
from pipeline.chain import Chain, Pool, Stage
from pipeline.units import recipe_difference

REPLANNED = (
    "job.budget.",
    "job.score.propositional",
    "job.score.perspectival",
    "job.sequence_length",
    "job.pack.",
    "job.loss_weights",
    "source.weight",
)
"""Fields of a recipe that decide nothing before the weighing of maps that are stored. What begins with none of these
decides what the maps are of, or what a sample is."""


def may_replan(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a unit of the one recipe holds in its index all that a unit of the other is made from."""
    if any(not line.startswith(REPLANNED) for line in recipe_difference(dict(old), dict(new))):
        return False
    if new["source"]["weight"] < 1:  # leaves samples out, whose segments an index does not count
        return False
    budgets = [recipe["job"]["budget"] for recipe in (old, new)]
    # The maps have one value a region, so the regions must stay what they are.
    return None in budgets or len({BudgetConfig(**budget).max_regions for budget in budgets}) == 1


def replan_chain(resolved: Resolved, chain: Chain) -> Chain:
    """The chain of a job for the units that are re-planned: no shard is read before `write`, nothing is scored."""
    job = resolved.job
    stages: tuple[Stage, ...] = ()
    if job.score is not None:
        slicing = resolved.profile.slicing
        apportion = Reweigh(job.score, job.budget, slicing if isinstance(slicing, QwenConfig) else None)
        pool = job.resources.decode
        stages = (Stage(Replan.name, partial(Replan, apportion), Pool(pool.cpus, 0.0, *pool.actors, pool.batch_size)),)
    return replace(chain, read=replay, stages=stages)

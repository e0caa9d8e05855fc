"""Which units a run may re-plan from an older build's index, and the chain that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from jobs.chain import SMALL_BYTES, Resolved, retiling
from jobs.spec import absolute
from operators.budget import BudgetConfig
from operators.profiles import Profile
from operators.replan import Replan
from operators.replay import replay
from operators.slicing.qwen import QwenConfig
from operators.weights import ScoreConfig
from pipeline.chain import Chain, Pool, Stage
from pipeline.monitor import Beat
from pipeline.operator import Operator
from pipeline.types import Unit
from pipeline.units import recipe_difference

WEIGHED = (
    "job.budget.",
    "job.score.propositional",
    "job.score.perspectival",
    "job.score.participatory",
    "job.score.balance",
)
"""Fields of a recipe that say what stored maps are worth."""
PACKED = ("job.sequence_length", "job.pack.", "job.loss_weights", "source.weight")
"""Fields that say how measured samples share sequences."""
LOOKED_AT = ("job.budget.spread",)
"""Legible spreading has maps of its own, made from a larger picture, which others are then made from too."""


def may_replan(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a unit of the one recipe holds in its index all that a unit of the other is made from."""
    changed = recipe_difference(dict(old), dict(new))
    if any(line.startswith(LOOKED_AT) or not line.startswith((*WEIGHED, *PACKED)) for line in changed):
        return False
    if new["job"]["reduce"] and any(line.startswith(WEIGHED) for line in changed):
        return False  # other views have other tokens, which are reduced by what their pictures show
    if new["source"]["weight"] < 1:  # leaves samples out, whose segments an index does not count
        return False
    # Without its weight the participatory map is not made.
    return len({_has_participatory(recipe["job"]["score"]) for recipe in (old, new)}) == 1


def _has_participatory(score: Mapping[str, Any] | None) -> bool:
    return score is not None and ScoreConfig(**score).steps()[2] > 0


def replan_chain(resolved: Resolved, chain: Chain, units: Sequence[Unit]) -> Chain:
    """The chain of a job for units that are re-planned: no shard is read before `write`, nothing is scored."""
    job = resolved.job
    stages: tuple[Stage, ...] = ()
    if job.score is not None and any(_is_weighed_anew(unit, resolved.recipe) for unit in units):
        keeps = all(_has_regions(unit) for unit in units)
        build = partial(_replan, job.score, job.budget, resolved.profile, absolute(job.tokenizer), keeps=keeps)
        pool = job.resources.decode
        stages = (Stage(Replan.name, build, Pool(pool.cpus, 0.0, *pool.actors, pool.batch_size)),)
    return replace(chain, read=replay, stages=stages, small_bytes=SMALL_BYTES)


def _replan(
    scoring: ScoreConfig, budget: BudgetConfig | None, profile: Profile, url: str, _: Beat, *, keeps: bool
) -> Operator:
    from operators.apportion import Apportion  # imports torch, which takes seconds: only the actors that need it pay

    slicing = profile.slicing if isinstance(profile.slicing, QwenConfig) else None
    return Replan(Apportion(scoring, budget, slicing, retiling(budget, profile, url), keeps=keeps))


def _has_regions(unit: Unit) -> bool:
    """Whether its budgets were given region by region, and not by a total that larger blocks shared."""
    budget = unit.older.recipe["job"]["budget"] if unit.older is not None else None
    return budget is not None and budget["rule"] != "global"


def _is_weighed_anew(unit: Unit, recipe: Mapping[str, Any]) -> bool:
    older = unit.older
    return older is not None and any(older.recipe["job"][name] != recipe["job"][name] for name in ("score", "budget"))

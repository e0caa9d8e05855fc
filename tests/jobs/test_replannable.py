"""Which changes of a recipe may be re-planned from an index, and what then is weighed anew."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from jobs.chain import Resolved, build_chain, resolve_job
from jobs.replanning import may_replan, replan_chain
from jobs.spec import load_job
from pipeline.types import Older, Shard, Source, Unit
from pipeline.units import unit_recipe
from tests.support import QUICKSTART, ROOT, SAMPLES

TOKENIZER = f"tokenizer={ROOT}/jobs/samples/tokenizer.model"


def resolved(*overrides: str) -> Resolved:
    return resolve_job(load_job(str(QUICKSTART), [TOKENIZER, *overrides], input__shards=str(SAMPLES[0]), output="out"))


def recipe(*overrides: str, weight: float = 1.0) -> dict[str, Any]:
    return unit_recipe(resolved(*overrides).recipe, Source("interleaved", weight))


@pytest.mark.parametrize(
    "change",
    [
        "budget.max_tokens=200",
        "budget.thresholds=[0.1, 0.2, 0.3]",
        "budget={rule: global, image_share: 0.5}",
        "score.perspectival=0",
        "score.balance=opponent",
        "sequence_length=1024",
        "pack={closing: true, align: 8, limits: {tiles: 9}}",
        "loss_weights=sample",
    ],
)
def test_what_is_decided_behind_the_maps_is_replanned(change: str) -> None:
    assert may_replan(recipe(), recipe(change))


@pytest.mark.parametrize(
    "change",
    [
        "budget=none",
        "budget.spread=even",
        "score.entropy=channels",
        "score.participatory=0",
        "profile=qwen3_vl",
        "placement.images=prefix",
        "pixels=patches",
        "limits.max_image_pixels=1000000",
        "unit.target_shards=3",
        "limit=5",
    ],
)
def test_what_decides_the_samples_or_the_maps_is_not(change: str) -> None:
    assert not may_replan(recipe(), recipe(change))
    assert not may_replan(recipe(change), recipe())


@pytest.mark.parametrize("part", ["operators", "numeric_class", "tokenizer", "profile"])
def test_another_version_of_anything_is_not(part: str) -> None:
    other = deepcopy(recipe())
    other[part]["something"] = "else"
    assert not may_replan(recipe(), other)


def test_a_weight_that_leaves_no_sample_out_is_replanned() -> None:
    assert may_replan(recipe(), recipe(weight=2.5))
    assert may_replan(recipe(weight=2.5), recipe())
    assert not may_replan(recipe(), recipe(weight=0.5))


def test_nothing_is_weighed_anew_where_score_and_budget_are_the_same() -> None:
    older = Older("index", "rejects", (), (), recipe())
    unit = replace(Unit(0, (Shard("a.tar", "a.tar"),), Source("interleaved")), older=older)
    for change, stages in {"sequence_length=1024": [], "budget.max_tokens=200": ["replan"]}.items():
        given = resolved(change)
        assert [stage.name for stage in replan_chain(given, build_chain(given), [unit]).stages] == stages

"""Grids of a picture's tokens: those of its views, or the raster that stitched tiles are, in every family."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from operators.profiles import load_profile, profile_names
from operators.reduction.features import token_boxes
from operators.reduction.grids import STITCHED, has_marks, token_grids, visual_views
from operators.slicing.regions import plan_regions
from tests.operators.shrinking import shrunk_plan

SIZES = [(640, 480), (336, 336), (90, 300), (1500, 1100), (2000, 300), (672, 672)]
STITCHING = {"llava_next", "llava_next_hf", "llava_next_llama3", "llava_onevision", "phi3_5_v"}


def of_plan(plan):
    """PLAN and RUN rows: ids do not matter here."""
    return asdict(plan), [{"id": 0, "modality": r.modality, "view": r.view, "count": r.count} for r in plan.layout]


def planned(name, size):
    profile = load_profile(name)
    return profile.slicing.plan(*size, profile.tokens.by_role())


@pytest.mark.parametrize("name", profile_names())
def test_grids_hold_all_visual_tokens_and_views_are_in_one_each(name):
    for size in SIZES:
        plan = planned(name, size)
        row, runs = of_plan(plan)
        found = token_grids(row, runs)
        assert sum(rows * cols for rows, cols in found.grids) == sum(view.tokens for view in plan.views)
        with_tokens = [number for number, view in enumerate(plan.views) if view.tokens]
        assert sorted(number for views in found.views for number in views) == with_tokens
        assert len(found.kinds) == len(found.places) == len(found.grids)
        assert (STITCHED in found.kinds) <= (name in STITCHING)
        for grid, kind, place, views in zip(*found, strict=True):
            if kind != STITCHED:
                (view,) = (plan.views[number] for number in views)
                assert (grid, kind, place) == ((view.rows, view.cols), view.kind, (view.row, view.col))


@pytest.mark.parametrize("name", sorted(STITCHING))
def test_a_stitched_grid_is_the_raster_of_the_picture(name):
    """Its tokens go from left to right and line after line down the picture, whatever tile they are of."""
    for size in SIZES:
        plan = planned(name, size)
        row, runs = of_plan(plan)
        found, of_token = token_grids(row, runs), visual_views(runs)
        boxes = np.empty((len(of_token), 4))
        boxes[np.argsort(of_token, kind="stable")] = token_boxes(row)
        start = 0
        for (rows, cols), kind in zip(found.grids, found.kinds, strict=True):
            raster = boxes[start : start + rows * cols].reshape(rows, cols, 4)
            start += rows * cols
            if kind == STITCHED:
                assert (raster[:, :, 1] == raster[:, :1, 1]).all()
                assert (raster[:, :, 0] == raster[:1, :, 0]).all()
                assert (np.diff(raster[0, :, 0]) >= 0).all()
                assert (np.diff(raster[:, 0, 1]) >= 0).all()
        assert any(kind == STITCHED for kind in found.kinds) or max(len(views) for views in found.views) == 1


def test_golden_tiles_of_llava_next_are_one_raster_without_newlines_and_the_thumbnail_another():
    row, runs = of_plan(planned("llava_next", (640, 480)))
    found = token_grids(row, runs)
    assert found.grids == ((24, 24), (36, 48))
    assert found.kinds == ("whole", STITCHED)
    assert sum(run["count"] for run in runs if run["view"] < 0 and run["modality"] == 3) >= 36


def test_regions_that_a_budget_shrank_are_grids_of_their_own():
    profile = load_profile("qwen2_5_vl")
    plan = plan_regions(1200, 900, profile.slicing, profile.tokens.by_role())
    budgets = [16 if number % 2 else view.tokens for number, view in enumerate(plan.views)]
    row, runs = of_plan(shrunk_plan(plan, budgets, profile.slicing))
    found = token_grids(row, runs)
    assert len(found.grids) == len(plan.views) > 1
    assert set(found.kinds) == {"region"}
    assert found.places == tuple((view.row, view.col) for view in plan.views)
    assert {rows * cols for rows, cols in found.grids[1::2]} <= set(range(1, 17))


def test_a_picture_without_visual_tokens_has_no_grids():
    assert token_grids({"views": []}, [{"id": 0, "modality": 3, "view": -1, "count": 2}]) == ((), (), (), ())


def test_marks_stand_between_tokens_in_families_that_break_lines_or_enclose_views():
    marked = {name for name in profile_names() if has_marks(of_plan(planned(name, (1500, 1100)))[1])}
    assert marked > STITCHING
    assert not marked & {"qwen2_5_vl", "llava_1_5", "internvl"}
    assert not has_marks([])

"""Plans each picture again, from its size and what its views were cut into, and compares.

The one place where the check uses what built the output: a scheme's arithmetic is held by its own tests, and this
finds what was changed after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from jobs.verify.records import Budget
from operators.profiles import Profile
from operators.slice import plan_image
from operators.slicing import Tiled
from operators.slicing.qwen import QwenConfig, region_view, rendered
from operators.slicing.regions import MAX_REGIONS
from operators.tokenize import lay_runs
from operators.tokenizers import Tokenizer
from pipeline.errors import InputError
from pipeline.types import Place, SlicePlan, View

Row = dict[str, Any]
Planned = tuple[SlicePlan, list[Row]]
"""A plan and the runs of its layout."""
OF_RUN = ("id", "modality", "view", "count")
GIVEN = ("budget", "relevance")
"""What scoring adds to a view; it is checked elsewhere."""


class Planner:
    """The plans that an output's recipe gives."""

    def __init__(self, recipe: dict[str, Any], tokenizer: Tokenizer) -> None:
        self._profile = Profile(about="", **recipe["profile"])
        self._budget = Budget(**recipe["job"]["budget"]) if recipe["job"]["budget"] else None
        self._max_regions = MAX_REGIONS if self._budget else None
        self.tokenizer = tokenizer
        self._plan = lru_cache(maxsize=4096)(self._plan_anew)

    def faults(self, plan: Row, runs: list[Row], place: Place) -> Iterator[str]:
        """What the plan and the layout of an image in the index say otherwise, a line each."""
        try:
            expected, expected_runs = self._expected(plan, place)
        except InputError as error:
            yield f"is a picture that cannot be planned so: {error}"
            return
        if isinstance(self._profile.slicing, Tiled) and self._budget is not None:
            yield from self._limit_faults(expected, place, self._budget)
        views = [asdict(view) for view in expected.views]
        slicing = self._profile.slicing
        if self._max_regions is not None and isinstance(slicing, QwenConfig):
            views = [asdict(_again(view, expected, slicing)) for view in plan["views"]]
            expected_runs = list(_with_views(expected_runs, views))
        if runs != expected_runs:
            yield "has another layout than its profile gives it"
        canvas = asdict(expected.canvas) if expected.canvas else None
        for name, value in {"grid_h": expected.grid_h, "grid_w": expected.grid_w, "canvas": canvas}.items():
            if plan[name] != value:
                yield f"has {name} {plan[name]}; {value} expected"
        if plan["resample"] != expected.resample:
            yield f"has resample {plan['resample']}; {expected.resample} expected"
        if len(views) != len(plan["views"]):
            yield f"has {len(plan['views'])} views; {len(views)} expected"
            return
        for k, (view, wanted) in enumerate(zip(plan["views"], views, strict=True)):
            as_lists = wanted | {name: list(wanted[name]) for name in ("box", "cells")}
            wrong = [name for name in wanted if name not in GIVEN and view[name] != as_lists[name]]
            if wrong:
                yield f"view {k} has {wrong[0]} {view[wrong[0]]}; {as_lists[wrong[0]]} expected"

    def _expected(self, plan: Row, place: Place) -> Planned:
        """The family's own plan; under a budget the one of fewer tiles that has the views of `plan`, or as many."""
        own = self._plan(plan["width"], plan["height"], place, None)
        if self._budget is None or not isinstance(self._profile.slicing, Tiled):
            return own
        smaller = self._smaller(own[0], place, max(_num_tiles(plan["views"]), 1))
        as_many = [other for other in smaller if len(other[0].views) == len(plan["views"])] or [own]
        shown = [_shown(view) for view in plan["views"]]
        return next((other for other in as_many if [_shown(asdict(v)) for v in other[0].views] == shown), as_many[0])

    def _smaller(self, own: SlicePlan, place: Place, least: int) -> Iterator[Planned]:
        """Plans of at most `least` tiles, of one more, and so on, as long as the family's own has still more."""
        for tiles in range(least, _num_tiles([asdict(view) for view in own.views])):
            with suppress(InputError):  # too thin a picture for so few tiles
                yield self._plan(own.width, own.height, place, tiles)

    def _limit_faults(self, plan: SlicePlan, place: Place, budget: Budget) -> Iterator[str]:
        """More placeholders than the job allows an image, where the family could do with fewer."""
        own, _ = self._plan(plan.width, plan.height, place, None)
        most = budget.image_limit(own.placeholders)
        if plan.placeholders <= most:
            return
        if any(other.placeholders < plan.placeholders for other, _ in self._smaller(own, place, 1)):
            yield f"has {plan.placeholders} placeholders; at most {most}, as the job's budget says, expected"

    def _plan_anew(self, width: int, height: int, place: Place, tiles: int | None) -> Planned:
        """tiles: at most so many; None: as many as the family's own plan has."""
        profile, slicing = self._profile, self._profile.slicing
        if tiles is not None and isinstance(slicing, Tiled):
            profile = profile.model_copy(update={"slicing": slicing.at_most(tiles)})
        plan = plan_image(profile, self._max_regions, width, height, place)
        laid = lay_runs([asdict(run) for run in plan.layout], self.tokenizer)
        return plan, [{name: int(run[name]) for name in OF_RUN} for run in laid]


def _num_tiles(views: Sequence[Row]) -> int:
    return sum(view["kind"] == "tile" for view in views)


def _shown(view: Row) -> list[Any]:
    return [view["kind"], view["row"], view["col"], list(view["box"]), view["height"], view["width"]]


def _again(view: Row, plan: SlicePlan, slicing: QwenConfig) -> View:
    """The view that shows these cells in so many rows and columns of tokens."""
    top, left, bottom, right = view["cells"]
    size, grid = (plan.width, plan.height), (plan.grid_h, plan.grid_w)
    native = region_view("region", (view["row"], view["col"]), (top, left, bottom, right), size, grid, slicing)
    return rendered(native, min(view["rows"], bottom - top), min(view["cols"], right - left), slicing)


def _with_views(runs: Sequence[Row], views: Sequence[Row]) -> Iterator[Row]:
    """The layout of an image of regions, each of its views between its marks."""
    yield from (run for run in runs[:1] if run["view"] < 0)
    visual = next(run for run in runs if run["view"] >= 0)
    yield from (visual | {"view": i, "count": view["tokens"]} for i, view in enumerate(views))
    yield from (run for run in runs[1:] if run["view"] < 0)

"""Plans each picture again, from its size and the budgets that it was given, and compares.

The one place where the check uses what built the output: a scheme's arithmetic is held by its own tests, and this
finds what was changed after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from operators.budget import BudgetConfig
from operators.profiles import Profile
from operators.slice import plan_image
from operators.slicing.qwen import QwenConfig, with_budgets
from operators.tokenize import lay_runs
from operators.tokenizers import Tokenizer
from pipeline.errors import InputError
from pipeline.types import Place

Row = dict[str, Any]
OF_RUN = ("id", "modality", "view", "count")
GIVEN = ("budget", "relevance")
"""What scoring adds to a view; it is checked elsewhere."""


class Planner:
    """The plans that an output's recipe gives."""

    def __init__(self, recipe: dict[str, Any], tokenizer: Tokenizer) -> None:
        budget = recipe["job"]["budget"]
        self._profile = Profile(about="", **recipe["profile"])
        self._max_regions = BudgetConfig(**budget).max_regions if budget else None
        self._tokenizer = tokenizer
        self._plan = lru_cache(maxsize=4096)(self._plan_anew)

    def faults(self, plan: Row, runs: list[Row], place: Place) -> Iterator[str]:
        """What the plan and the layout of an image in the index say otherwise, a line each."""
        budgets = tuple(view["budget"] for view in plan["views"])
        try:
            expected, expected_runs = self._plan(plan["width"], plan["height"], place, budgets)
        except (InputError, ValueError) as error:
            yield f"is a picture that cannot be planned so: {error}"
            return
        if runs != expected_runs:
            yield "has another layout than its profile gives it"
        for name in ("grid_h", "grid_w", "canvas", "resample"):
            if plan[name] != expected[name]:
                yield f"has {name} {plan[name]}; {expected[name]} expected"
        for k, (view, wanted) in enumerate(zip(plan["views"], expected["views"], strict=True)):
            wrong = [name for name in wanted if name not in GIVEN and view[name] != wanted[name]]
            if wrong:
                yield f"view {k} has {wrong[0]} {view[wrong[0]]}; {wanted[wrong[0]]} expected"

    def _plan_anew(
        self, width: int, height: int, place: Place, budgets: tuple[int | None, ...]
    ) -> tuple[Row, list[Row]]:
        plan = plan_image(self._profile, self._max_regions, width, height, place)
        slicing = self._profile.slicing
        given = [budget for budget in budgets if budget is not None]
        if len(plan.views) != len(budgets) or (given and len(given) != len(budgets)):
            raise ValueError(f"{len(budgets)} views with {len(given)} budgets; {len(plan.views)} views expected")
        if given and isinstance(slicing, QwenConfig):
            plan = with_budgets(plan, given, [0] * len(given), slicing.patch, slicing.merge)
        row = asdict(plan)
        for view in row["views"]:
            view |= {name: list(view[name]) for name in ("box", "cells")}
        laid = lay_runs([asdict(run) for run in plan.layout], self._tokenizer)
        return row, [{name: int(run[name]) for name in OF_RUN} for run in laid]

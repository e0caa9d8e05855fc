"""Weighs the stored maps of images anew and fixes the budgets of their views: what `score` does behind its maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from operators.budget import BudgetConfig, allocate
from operators.plans import plan_from_row
from operators.slicing.qwen import QwenConfig, with_budgets
from operators.weights import ScoreConfig
from pipeline.operator import Row
from pipeline.types import View


@dataclass(frozen=True, slots=True)
class Reweigh:
    """The plans, runs and relevances of a sample as other weights and another budget make them."""

    score: ScoreConfig
    budget: BudgetConfig | None
    slicing: QwenConfig | None

    def __call__(self, plans: Sequence[Row], runs: Sequence[list[Row]], relevances: Sequence[Row]) -> Row:
        """All three as they stand in an index, a row an image; the plans' regions are those of the new budget too."""
        found = [self._image(*image) for image in zip(plans, runs, relevances, strict=True)]
        return {name: [image[name] for image in found] for name in ("plans", "runs", "relevances")}

    def _image(self, plan: Row, runs: list[Row], relevance: Row) -> Row:
        weights = self.score.steps()
        total = sum(weights)
        maps = zip(relevance["propositional"], relevance["perspectival"], strict=True)
        combined = [(2 * (weights[0] * p + weights[1] * s) + total) // (2 * total) for p, s in maps]
        relevance = relevance | {"combined": combined}
        if self.budget is None or self.slicing is None:
            views = [view | {"relevance": value} for view, value in zip(plan["views"], combined, strict=True)]
            return {"plans": plan | {"views": views}, "runs": runs, "relevances": relevance}
        slicing = self.slicing
        found = plan_from_row(plan)
        native = replace(found, views=tuple(_native(view, slicing) for view in found.views))
        budgets = allocate(combined, [view.tokens for view in native.views], self.budget)
        views = [asdict(view) for view in with_budgets(native, budgets, combined, slicing.patch, slicing.merge).views]
        runs = [run | {"count": views[run["view"]]["tokens"]} if run["view"] >= 0 else run for run in runs]
        return {"plans": plan | {"views": views}, "runs": runs, "relevances": relevance}


def _native(view: View, slicing: QwenConfig) -> View:
    """The region at its native size, which its cells say, before a budget made it smaller."""
    top, left, bottom, right = view.cells
    rows, cols = bottom - top, right - left
    return replace(
        view,
        height=rows * slicing.factor,
        width=cols * slicing.factor,
        grid_h=rows * slicing.merge,
        grid_w=cols * slicing.merge,
        rows=rows,
        cols=cols,
        tokens=rows * cols,
    )

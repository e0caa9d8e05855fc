"""Turns the relevance of a sample's images into budgets and views: from scores just made, or from stored ones.

Reads 8-bit maps and sizes alone, never a pixel and never what another budget made of them: so what is planned again
from an index is what a fresh build plans.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.budget import BudgetConfig
from operators.discrete.config import SCHEME
from operators.relevance.balancing import weigh
from operators.rerender import Rerender
from operators.retile import Retile
from operators.slicing.qwen import QwenConfig
from operators.weights import ScoreConfig
from pipeline.operator import Row
from pipeline.types import View


class Apportion:
    """Gives each image its weights, its combined map and, within a budget, its views."""

    def __init__(
        self,
        scoring: ScoreConfig,
        budget: BudgetConfig | None,
        slicing: QwenConfig | None,
        retile: Retile | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        """slicing: of the family; None where no budget can shrink its views. retile: where it can leave out tiles.

        keeps: plans hold what rule lod or query made of the same maps with the same spread. A region of as many tokens
        as before then keeps its views, which are those that it would get: finding them takes 8 ms of a region.
        """
        self._scoring = scoring
        self._within = (budget, slicing) if budget is not None and slicing is not None else None
        self._retile = retile
        self._keeps = keeps

    def __call__(self, plans: Sequence[Row], runs: Sequence[list[Row]], relevances: Sequence[Row]) -> Row:
        """The columns `plans`, `runs` and `relevances` of one sample.

        plans, runs: PLAN and RUN rows of each image; under a budget only their sizes, native grids and marks count, of
        tiles the sizes alone.
        relevances: RELEVANCE rows, of which the maps count, of each image that has views. What is written as ids has
        none, and stays as it is.
        """
        scored = [i for i, plan in enumerate(plans) if plan["scheme"] != SCHEME]
        made = self._apportion([plans[i] for i in scored], [runs[i] for i in scored], relevances)
        for name, given in (("plans", plans), ("runs", runs)):
            own = dict(zip(scored, made[name], strict=True))
            made[name] = [own.get(i, one) for i, one in enumerate(given)]
        return made

    def _apportion(self, plans: Sequence[Row], runs: Sequence[list[Row]], relevances: Sequence[Row]) -> Row:
        weighed = [found | self._weigh(found) for found in relevances]
        if self._retile is not None:
            tiled, laid = self._retile(plans, weighed)
            return {"plans": tiled, "runs": laid, "relevances": weighed}
        if self._within is None:
            views = [
                [view | {"relevance": value} for view, value in zip(plan["views"], found["combined"], strict=True)]
                for plan, found in zip(plans, weighed, strict=True)
            ]
            return {"plans": _with(plans, views), "runs": list(runs), "relevances": weighed}
        made = Rerender(plans, weighed, *self._within, keeps=self._keeps).views()
        views = [[{name: getattr(view, name) for name in View.__slots__} for view in own] for own in made]
        return {
            "plans": _with(plans, views),
            "runs": [_rerun(old, own) for old, own in zip(runs, made, strict=True)],
            "relevances": weighed,
        }

    def _weigh(self, relevance: Row) -> Row:
        maps = [relevance[way] for way in ("propositional", "perspectival", "participatory")]
        weights, combined = weigh(maps, self._scoring.steps(), opponent=self._scoring.balance == "opponent")
        return {"weights": weights, "combined": combined}


def _with(plans: Sequence[Row], views: Sequence[list[Row]]) -> list[Row]:
    return [plan | {"views": own} for plan, own in zip(plans, views, strict=True)]


def _rerun(runs: Sequence[Row], views: Sequence[View]) -> list[Row]:
    """An image's marks with one run for each of other views between them."""
    first = next(i for i, run in enumerate(runs) if run["view"] >= 0)
    last = max(i for i, run in enumerate(runs) if run["view"] >= 0)
    visual = [runs[first] | {"view": i, "count": view.tokens} for i, view in enumerate(views)]
    return [*runs[:first], *visual, *runs[last + 1 :]]

"""Plans as they travel (Arrow structs) and as they are computed with (types)."""

from __future__ import annotations

from pipeline.operator import Row
from pipeline.types import Canvas, SlicePlan, View


def plan_from_row(plan: Row) -> SlicePlan:
    """The plan of a PLAN struct. Its layout is empty: from `tokenize` on, runs of ids stand for it."""
    return SlicePlan(
        scheme=plan["scheme"],
        width=plan["width"],
        height=plan["height"],
        grid_h=plan["grid_h"],
        grid_w=plan["grid_w"],
        views=tuple(View(**view) for view in plan["views"]),
        layout=(),
        placeholder="",
        canvas=Canvas(**plan["canvas"]) if plan["canvas"] else None,
        resample=plan["resample"],
    )

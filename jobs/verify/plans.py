"""What holds of one image's plan: views that tile the picture, grids that fit their pixels, budgets, and the layout."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.verify.records import Budget, Recipe, Slicing
from pipeline.types import Modality

Row = dict[str, Any]
Ints = npt.NDArray[np.int64]
NATIVE = "qwen"
"""The scheme whose every view has as many tokens as it has blocks of merge x merge patches."""


def plan_faults(plan: Row, recipe: Recipe) -> Iterator[str]:
    """What is untrue of a plan by itself, a line each."""
    slicing, budget = recipe.profile.slicing, recipe.job.budget
    for k, view in enumerate(plan["views"]):
        for fault in _view_faults(view, slicing, budget):
            yield f"view {k} {fault}"
    scheme = recipe.profile.slicing.scheme
    if plan["scheme"] != scheme:
        yield f"scheme is {plan['scheme']}; {scheme} expected"
    yield from _cover_faults([(view["kind"], view["box"]) for view in plan["views"]], plan["width"], plan["height"])
    cells = [(view["kind"], _turned(view["cells"])) for view in plan["views"]]
    yield from (f"cells: {fault}" for fault in _cover_faults(cells, plan["grid_w"], plan["grid_h"]))
    if plan["canvas"] is not None:
        yield from _canvas_faults(plan, plan["canvas"])
    if budget is not None and scheme == NATIVE:
        yield from _budget_faults(plan, budget)


def _view_faults(view: Row, slicing: Slicing, budget: Budget | None) -> Iterator[str]:
    patches = (view["height"] // slicing.patch, view["width"] // slicing.patch)
    if (view["grid_t"], view["grid_h"], view["grid_w"]) != (1, *patches):
        yield (
            f"of {view['height']}x{view['width']} pixels has grid {view['grid_t']}x{view['grid_h']}x{view['grid_w']}; "
            f"1x{patches[0]}x{patches[1]} patches of {slicing.patch} pixels expected"
        )
    shape = (view["rows"], view["cols"])
    merged = tuple(side // slicing.merge for side in patches) if slicing.scheme == NATIVE else shape
    if shape != merged or view["tokens"] != shape[0] * shape[1]:
        yield f"has {view['tokens']} tokens in {shape[0]}x{shape[1]}; {merged[0]}x{merged[1]} expected"
    if budget is None and view["budget"] is not None:
        yield f"has a budget of {view['budget']}; none expected, as the job has none"
    if budget is not None and slicing.scheme != NATIVE and view["budget"] != view["tokens"]:
        yield f"has a budget of {view['budget']}; {view['tokens']}, all of its tokens, expected"


def _budget_faults(plan: Row, budget: Budget) -> Iterator[str]:
    """Blocks whose views have more tokens than their budget, or a budget that the job does not allow."""
    blocks: dict[tuple[int, int], list[Row]] = {}
    for view in plan["views"]:
        blocks.setdefault((view["row"], view["col"]), []).append(view)
    floor = min(budget.min_tokens, max(1, budget.max_image_tokens // len(blocks)))
    for place, views in blocks.items():
        where = f"block {place[0]}, {place[1]}"
        allowed = {view["budget"] for view in views}
        if None in allowed or len(allowed) > 1:
            yield f"{where} has views of budgets {sorted(allowed, key=str)}; one for all of them expected"
            continue
        (given,) = allowed
        tokens = sum(view["tokens"] for view in views)
        if tokens > given:
            yield f"{where} has {tokens} tokens; at most its budget, {given}, expected"
        if budget.rule == "global":
            continue
        native = sum((bottom - top) * (right - left) for top, left, bottom, right in (view["cells"] for view in views))
        least, most = min(native, floor), min(native, budget.max_tokens)
        if not least <= given <= most:
            yield f"{where} has a budget of {given}; {least} to {most} expected"
    total = sum(view["tokens"] for view in plan["views"])
    most = budget.image_limit(plan["grid_h"] * plan["grid_w"])
    if total > most:
        yield f"its views have {total} tokens; at most {most}, as the job's budget says, expected"


def _canvas_faults(plan: Row, canvas: Row) -> Iterator[str]:
    """Tiles that do not make up the canvas."""
    tile = max((view for view in plan["views"] if view["kind"] == "tile"), key=_corner, default=None)
    if tile is None:
        return
    size = ((tile["col"] + 1) * tile["width"], (tile["row"] + 1) * tile["height"])
    if (canvas["width"], canvas["height"]) != size:
        yield f"canvas is {canvas['width']}x{canvas['height']}; {size[0]}x{size[1]}, as its tiles are, expected"


def _corner(view: Row) -> tuple[int, int]:
    return view["row"], view["col"]


def _turned(cells: list[int]) -> list[int]:
    """(top, left, bottom, right) as (left, top, right, bottom)."""
    top, left, bottom, right = cells
    return [left, top, right, bottom]


def _cover_faults(views: list[tuple[str, list[int]]], width: int, height: int) -> Iterator[str]:
    """A whole view shows everything; the others tile it: inside, without overlap, the area of all of it."""
    whole = [box for kind, box in views if kind == "whole"]
    boxes = [box for kind, box in views if kind != "whole"]
    if len(whole) > 1 or (boxes and any(box != [0, 0, width, height] for box in whole)):
        yield f"whole views show {whole}; all of {width}x{height} once expected"
    if whole and not boxes:  # alone, it may be what a centre crop leaves
        left, top, right, bottom = whole[0]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            yield f"whole view shows {whole[0]}; a part of {width}x{height} expected"
        return
    real = [box for box in boxes if box[0] < box[2] and box[1] < box[3]]
    outside = [box for box in boxes if not (0 <= box[0] <= box[2] <= width and 0 <= box[1] <= box[3] <= height)]
    twice = [(a, b) for a, b in combinations(real, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in real)
    if outside or twice or area != width * height:
        where = (
            f"{outside[0]} lies outside" if outside else f"{twice[0]} overlap" if twice else f"they show {area} pixels"
        )
        yield f"boxes do not tile {width}x{height}: {where}"


def run_faults(plan: Row, runs: list[Row], placeholder: int) -> Iterator[str]:
    """What is untrue of an image's layout: each view has its tokens in it, all else are marks."""
    for k, view in enumerate(plan["views"]):
        found = sum(run["count"] for run in runs if run["view"] == k)
        if found != view["tokens"]:
            yield f"has {found} tokens of view {k} in its layout; {view['tokens']} expected"
    for run in runs:
        kind = Modality.MARKER if run["view"] < 0 else Modality.IMAGE
        if run["modality"] != kind or not -1 <= run["view"] < len(plan["views"]):
            yield f"has a run of view {run['view']} and modality {run['modality']} in its layout"
        elif kind == Modality.IMAGE and run["id"] != placeholder:
            yield f"has the id {run['id']} for a visual token; the placeholder {placeholder} expected"


def lay_runs(runs: list[Row]) -> tuple[Ints, Ints, Ints]:
    """Ids, modality and view (-1: none) of every token of an image's layout."""
    counts = [run["count"] for run in runs]
    ids, modality, view = (
        np.repeat(np.array([run[name] for run in runs], np.int64), counts) for name in ("id", "modality", "view")
    )
    return ids, modality, view

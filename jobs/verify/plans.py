"""What holds of one image's plan: views that tile the picture, grids that fit their pixels, budgets, and the layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.verify.records import Budget, Recipe, Slicing
from pipeline.types import Modality

Row = dict[str, Any]
Ints = npt.NDArray[np.int64]
NEWLINE = -1
"""Stands for a row's end in the order of an image's visual tokens."""


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
    tokens = sum(view["tokens"] for view in plan["views"])
    if budget is not None and tokens > budget.max_image_tokens:
        yield f"its views have {tokens} tokens; at most budget.max_image_tokens, {budget.max_image_tokens}, expected"


def _view_faults(view: Row, slicing: Slicing, budget: Budget | None) -> Iterator[str]:
    patches = (view["height"] // slicing.patch, view["width"] // slicing.patch)
    if (view["grid_t"], view["grid_h"], view["grid_w"]) != (1, *patches):
        yield (
            f"of {view['height']}x{view['width']} pixels has grid {view['grid_t']}x{view['grid_h']}x{view['grid_w']}; "
            f"1x{patches[0]}x{patches[1]} patches of {slicing.patch} pixels expected"
        )
    top, left, bottom, right = view["cells"]
    # Unpadding takes rows and columns from tiles; everywhere else tokens are the merged patches.
    is_cut = view["kind"] == "tile"
    merged = (bottom - top, right - left) if is_cut else tuple(side // slicing.merge for side in patches)
    if (view["rows"], view["cols"]) != merged or view["tokens"] != view["rows"] * view["cols"]:
        yield f"has {view['tokens']} tokens in {view['rows']}x{view['cols']}; {merged[0]}x{merged[1]} expected"
    if budget is None:
        if view["budget"] is not None:
            yield f"has a budget of {view['budget']}; none expected, as the job has none"
        return
    native = (bottom - top) * (right - left)
    least, most = min(native, budget.min_tokens), min(native, budget.max_tokens)
    if view["budget"] is None or not least <= view["budget"] <= most:
        yield f"has a budget of {view['budget']}; {least} to {most} expected"
    elif view["tokens"] > view["budget"]:
        yield f"has {view['tokens']} tokens; at most its budget, {view['budget']}, expected"


def _canvas_faults(plan: Row, canvas: Row) -> Iterator[str]:
    """Tiles that do not make up the canvas, or a picture on it that is not in the middle, whole and of its aspect."""
    tile = plan["views"][-1]
    size = ((tile["col"] + 1) * tile["width"], (tile["row"] + 1) * tile["height"])
    if (canvas["width"], canvas["height"]) != size:
        yield f"canvas is {canvas['width']}x{canvas['height']}; {size[0]}x{size[1]}, as its tiles are, expected"
    across, down = canvas["resized_width"], canvas["resized_height"]
    scale = min(size[0] / plan["width"], size[1] / plan["height"])
    if abs(across - plan["width"] * scale) > 1 or abs(down - plan["height"] * scale) > 1:
        yield f"picture on the canvas is {across}x{down}; {plan['width']}x{plan['height']} times {scale:.4f} expected"
    if (canvas["left"], canvas["top"]) != ((size[0] - across) // 2, (size[1] - down) // 2):
        yield f"picture on the canvas starts at {canvas['left']}, {canvas['top']}; the middle expected"


def _turned(cells: list[int]) -> list[int]:
    """(top, left, bottom, right) as (left, top, right, bottom)."""
    top, left, bottom, right = cells
    return [left, top, right, bottom]


def _cover_faults(views: list[tuple[str, list[int]]], width: int, height: int) -> Iterator[str]:
    """A whole view shows everything; the others tile it: inside, without overlap, the area of all of it."""
    whole = [box for kind, box in views if kind == "whole"]
    if any(box != [0, 0, width, height] for box in whole) or len(whole) > 1:
        yield f"whole views show {whole}; all of {width}x{height} once expected"
    boxes = [box for kind, box in views if kind != "whole"]
    if whole and not boxes:
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


def visual_order(plan: Row) -> Ints:
    """The view of each visual token of an image in reading order; NEWLINE where a row of tiles ends."""
    views = plan["views"]
    if plan["scheme"] != "llava_next":
        return np.repeat(np.arange(len(views)), [view["tokens"] for view in views])
    order = [np.zeros(views[0]["tokens"], np.int64)]
    tiles = [(k, view) for k, view in enumerate(views) if k > 0]
    for _, across in groupby(tiles, key=lambda tile: tile[1]["row"]):
        row = list(across)
        line = np.repeat([k for k, _ in row] + [NEWLINE], [view["cols"] for _, view in row] + [1])
        order += [line] * row[0][1]["rows"]
    return np.concatenate(order)


def lay_image(plan: Row, special: Mapping[str, int]) -> tuple[Ints, Ints, Ints]:
    """Ids, modality and view of every token of an image, its start and end marks among them (view -1)."""
    view = visual_order(plan)
    modality = np.where(view == NEWLINE, Modality.MARKER, Modality.IMAGE)
    ids = np.full(len(view), special["placeholder"])
    before, after = ([special[role]] if role in special else [] for role in ("image_start", "image_end"))
    marks = (len(before), len(after))
    return (
        np.concatenate([before, ids, after]).astype(np.int64),
        np.pad(modality, marks, constant_values=Modality.MARKER),
        np.pad(view, marks, constant_values=-1),
    )


def lay_runs(runs: list[Row]) -> tuple[Ints, Ints, Ints]:
    """The same three of the runs that an index keeps."""
    counts = [run["count"] for run in runs]
    ids, modality, view = (
        np.repeat(np.array([run[name] for run in runs], np.int64), counts) for name in ("id", "modality", "view")
    )
    return ids, modality, view

"""How well each visual token answers what its picture is asked: from relevance maps, or a text-to-cell matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from operators.reduction.features import Boxes, Floats
from operators.reduction.plan import Ints
from operators.relevance.crop import crop, grid
from operators.relevance.participatory import DualEncoder, stretched
from operators.slicing.regions import REGION_SIDE, cuts
from pipeline.operator import Row

FINEST = 1 << 10
"""Parts of the way from one region's centre to the next; a value is rounded to 0..255 after that."""
BELOW = 1 << 20
"""Of two tokens with the same relevance the more salient one has the higher score; saliences are below this."""
NATIVE = "qwen"
"""The scheme of native resolution."""
CELLS = (6, 6)
"""Regions that a picture of one view is cut into where a query must rank its tokens."""


def token_scores(plan: Row, relevance: Row, boxes: Boxes, salience: Ints) -> Ints:
    """Score of each token of a plan (schema.PLAN) by its picture's relevance (schema.RELEVANCE), [n].

    By `participatory`, or `combined` where that has nothing to say, each 0..255 a region; between the centres of
    regions it changes evenly. A picture that also has a whole view gives its tokens what the finer regions at their
    place have. Times BELOW, plus salience. boxes: `token_boxes` of the plan.
    """
    views = plan["views"]
    values = np.array(relevance["participatory"] or relevance["combined"], np.int64)
    counts = [view["rows"] * view["cols"] for view in views]
    if len(values) == 1:
        return ranked(np.full(len(boxes), values[0]), salience)
    if plan["scheme"] == NATIVE:  # regions of the native grid, whatever views a budget made of them
        down, across = (_centres(plan[side]) for side in ("grid_h", "grid_w"))
        return ranked(between(values.reshape(len(down), len(across)), down, across, boxes), salience)
    if views[0]["kind"] == "frame":
        return ranked(np.repeat(values, counts), salience)
    finest = [i for i, view in enumerate(views) if view["kind"] != "whole"] or [0]
    rows, cols = (1 + max(views[i][side] for i in finest) for side in ("row", "col"))
    # A tile of padding alone is a view without tokens; its place is where the picture ends.
    edges = np.array([views[i]["box"] for i in finest]).reshape(rows, cols, 4)
    down = (edges[:, 0, 1] + edges[:, 0, 3]) / (2 * plan["height"])
    across = (edges[0, :, 0] + edges[0, :, 2]) / (2 * plan["width"])
    return ranked(between(values[finest].reshape(rows, cols), down, across, boxes), salience)


def _centres(side: int) -> Floats:
    """Of the regions of a native grid, as shares of its side."""
    edges = np.array(cuts(side, REGION_SIDE))
    return np.asarray((edges[:-1] + edges[1:]) / (2 * side))


def cell_scores(encoder: DualEncoder, colour: Image.Image, texts: Sequence[str], cells: tuple[int, int]) -> Ints:
    """How well each of rows x cols equal cells of a picture fits each text, 0..255, [texts, cells], row by row.

    Each text's row is stretched by itself (`stretched`); zeros where a text, or the picture, has nothing to say, and
    where the encoder gives no numbers. A cell's value hangs on the picture, the cell and the text alone.
    """
    places = grid(*cells)
    seen = encoder.seen(crop(colour, places, encoder.side), places)
    found = np.zeros((len(texts), len(places)), np.int64)
    for row, said in zip(found, encoder.said(texts), strict=True):
        fits = (seen * said).sum(axis=1)
        values = stretched(fits, encoder.sharpness) if np.isfinite(fits).all() else None
        if values is not None:
            row[:] = values
    return found


def spread(values: Ints, cells: tuple[int, int], boxes: Boxes) -> Ints:
    """The values of rows x cols equal cells, [cells], at each token, [n], changing evenly between centres."""
    rows, cols = cells
    return between(values.reshape(cells), (np.arange(rows) + 0.5) / rows, (np.arange(cols) + 0.5) / cols, boxes)


def ranked(relevance: Ints, salience: Ints) -> Ints:
    """One integer a token: by relevance, and of equals by salience."""
    return np.asarray(relevance * BELOW + salience.clip(0, BELOW - 1))


def between(values: Ints, down: Floats, across: Floats, boxes: Boxes) -> Ints:
    """Values [rows, cols] that stand at heights `down` and widths `across`, at the middle of each box, half rounded up.

    Beyond the outermost ones they go on as they are.
    """
    (top, low), fall = _around(down, (boxes[:, 1] + boxes[:, 3]) / 2)
    (left, right), way = _around(across, (boxes[:, 0] + boxes[:, 2]) / 2)
    upper = values[top, left] * (FINEST - way) + values[top, right] * way
    lower = values[low, left] * (FINEST - way) + values[low, right] * way
    return np.asarray((upper * (FINEST - fall) + lower * fall + FINEST**2 // 2) // FINEST**2)


def _around(centres: Floats, middles: Floats) -> tuple[tuple[Ints, Ints], Ints]:
    """The centres before and after each middle, and how much of the way to the second it is, of FINEST."""
    last = len(centres) - 1
    after = np.searchsorted(centres, middles, side="right").clip(0, last)
    before = (after - 1).clip(0)
    gap = np.maximum(centres[after] - centres[before], 1e-9)
    way = np.floor((middles - centres[before]) / gap * FINEST).clip(0, FINEST).astype(np.int64)
    return (before, after), way

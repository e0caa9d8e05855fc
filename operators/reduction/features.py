"""What each visual token shows, from the small copies of its picture that scoring reads: integers, no encoder.

A token is seen as BLOCKS x BLOCKS mean shades of its rectangle. Sums are of whole pixels and whole shades, so no
library, device or number of threads changes a value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.reduction.plan import Ints
from pipeline.operator import Row

Floats = npt.NDArray[np.float64]
Boxes = Floats
"""[n, 4]: left, top, right and bottom of each token, as shares of the picture."""
BLOCKS = 8
"""A token of 14 pixels has one in two, a token of 28 strokes of text."""
COMMON = 64
"""What all tokens have in common, in grey levels: two flat ones a quarter of white apart have a cosine of .75, two of
white noise, a block a pixel or two, of .1, and MustDrop's bound of .8 is where grain is half as long as the rest."""
GREY = 128
UNPADDED = frozenset({"llava_next", "llava_onevision"})
"""Schemes whose tokens in the padding of the canvas are left out: what survives is taken to be the picture."""


def texture(grey: npt.NDArray[np.uint8], colour: npt.NDArray[np.uint8], boxes: Boxes) -> Ints:
    """What each token shows, [n, BLOCKS**2 + 4], as numbers whose cosine says how alike two tokens look.

    COMMON, mean shade around GREY, red against green, yellow against blue, and the grain: each block's shade less
    that mean, by half, so that its length is four times its deviation. A picture of one colour gives all tokens the
    same numbers. grey: [height, width]; colour: [h, w, 3], of any size.
    """
    blocks = _means(grey[:, :, None], boxes, BLOCKS)[:, :, 0]
    shade = blocks.sum(axis=1) // BLOCKS**2
    red, green, blue = _means(colour, boxes, 1)[:, 0].T
    means = np.stack([np.full_like(shade, COMMON), shade - GREY, (red - green) // 2, (red + green) // 4 - blue // 2])
    return np.concatenate([means.T, (blocks - shade[:, None]) // 2], axis=1)


def salience(grey: npt.NDArray[np.uint8], colour: npt.NDArray[np.uint8], boxes: Boxes) -> Ints:
    """How much each token stands out, [n], 0..765: its edges, and how far its colour is from the picture's.

    Edges are the mean difference of neighbouring blocks, both ways together; colour, the mean one of the channels.
    """
    blocks = _means(grey[:, :, None], boxes, BLOCKS).reshape(-1, BLOCKS, BLOCKS)
    edges = sum(np.abs(np.diff(blocks, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2)) // (BLOCKS * (BLOCKS - 1))
    whole = colour.sum(axis=(0, 1), dtype=np.int64) // (colour.shape[0] * colour.shape[1])
    apart = np.abs(_means(colour, boxes, 1)[:, 0] - whole).sum(axis=1)
    return np.asarray(edges + apart // 3)


def token_boxes(plan: Row) -> Boxes:
    """Left, top, right and bottom of each token of a plan (schema.PLAN) as shares of its picture, in its order.

    Exact for regions, frames and whole pictures, and for tiles of a canvas, whose tokens in the padding have no area.
    Where padding is taken out again (UNPADDED), tokens are where they would be had it been so to the pixel: at most
    one token off.
    """
    return np.concatenate([_view_boxes(view, plan) for view in plan["views"]] or [np.zeros((0, 4))])


def _view_boxes(view: Row, plan: Row) -> Boxes:
    canvas, picture = plan["canvas"], (plan["width"], plan["height"])
    left, top, right, bottom = view["box"]
    across = np.linspace(left, right, view["cols"] + 1) / picture[0]
    down = np.linspace(top, bottom, view["rows"] + 1) / picture[1]
    is_tile = view["kind"] == "tile"
    if canvas is not None and plan["scheme"] in UNPADDED and is_tile:
        first_row, first_col, last_row, last_col = view["cells"]
        across = np.arange(first_col, last_col + 1) / plan["grid_w"]
        down = np.arange(first_row, last_row + 1) / plan["grid_h"]
    elif canvas is not None and (is_tile or canvas["has_whole"]):
        width, height = (view["width"], view["height"]) if is_tile else (canvas["width"], canvas["height"])
        x = view["col"] * width - canvas["left"] + np.arange(view["cols"] + 1) * width / max(1, view["cols"])
        y = view["row"] * height - canvas["top"] + np.arange(view["rows"] + 1) * height / max(1, view["rows"])
        across, down = (x / canvas["resized_width"]).clip(0, 1), (y / canvas["resized_height"]).clip(0, 1)
    lefts, rights = (np.tile(part, view["rows"]) for part in (across[:-1], across[1:]))
    tops, bottoms = (np.repeat(part, view["cols"]) for part in (down[:-1], down[1:]))
    return np.stack([lefts, tops, rights, bottoms], axis=1)


def _means(shades: npt.NDArray[np.uint8], boxes: Boxes, parts: int) -> Ints:
    """Mean of each channel of [h, w, c] in parts x parts equal parts of each box, rounded down; [n, parts * parts, c].

    Borders are rounded down to pixels, and a part has one pixel at least.
    """
    height, width, channels = shades.shape
    # What is over 32 bits falls out again in the difference, unless a part has 2^24 pixels; a quarter of the time.
    table = np.zeros((height + 1, width + 1, channels), np.uint32)
    table[1:, 1:] = shades.cumsum(axis=0, dtype=np.uint32).cumsum(axis=1, dtype=np.uint32)
    x0, x1 = (x[:, None, :] for x in _borders(boxes[:, 0], boxes[:, 2], parts, width))
    y0, y1 = (y[:, :, None] for y in _borders(boxes[:, 1], boxes[:, 3], parts, height))
    sums = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    areas = ((y1 - y0) * (x1 - x0))[..., None]
    return np.asarray((sums.astype(np.int64) // areas).reshape(len(boxes), parts * parts, channels))


def _borders(start: Floats, end: Floats, parts: int, length: int) -> tuple[Ints, Ints]:
    """First and last pixels of each part, both [n, parts]."""
    steps = np.arange(parts + 1) / parts
    found = np.floor((start[:, None] + (end - start)[:, None] * steps) * length).astype(np.int64)
    first = found[:, :-1].clip(0, length - 1)
    return first, np.maximum(found[:, 1:].clip(0, length), first + 1)

"""Pixels of planned views, equal to what the family's own processor makes before it normalises."""

from __future__ import annotations

import numpy as np

from operators.raster import Raster
from operators.slicing.resizing import Resize, resize_part
from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, SlicePlan


def render(picture: Raster, plan: SlicePlan, resize: Resize) -> list[Raster]:
    """One raster of exactly height x width per view of `plan`, in order.

    picture: upright. Tiles are cut from one canvas on which the whole picture was resized, so that their seams match.
    A whole view is resized from the picture, or from the canvas where that is the family's way; every other view
    straight from its box. Raises InputError (decode-error) if the picture has not the size that was planned.
    """
    height, width = picture.shape[:2]
    if (width, height) != (plan.width, plan.height):
        raise InputError(
            Reason.DECODE_ERROR,
            f"picture of {width}x{height} pixels; {plan.width}x{plan.height} expected, as planned; "
            "rebuild from unchanged shards",
        )
    canvas = picture if plan.canvas is None else _paint(picture, plan.canvas, plan.resample, resize)
    whole = canvas if plan.canvas is not None and plan.canvas.has_whole else picture
    views = []
    for view in plan.views:
        size = (view.width, view.height)
        if view.kind == "tile":
            left, top = view.col * view.width, view.row * view.height
            views.append(canvas[top : top + view.height, left : left + view.width])
        elif view.kind == "whole":
            views.append(_resized(whole, size, plan.resample, resize))
        else:
            views.append(resize_part(picture, size, plan.resample, view.box))
    return views


def _paint(picture: Raster, canvas: Canvas, resample: str, resize: Resize) -> Raster:
    """The whole canvas from which tiles are cut."""
    if canvas.first_width:
        picture = _resized(picture, (canvas.first_width, canvas.first_height), resample, resize)
    resized = _resized(picture, (canvas.resized_width, canvas.resized_height), resample, resize)
    if (canvas.left, canvas.top, canvas.width, canvas.height) == (0, 0, canvas.resized_width, canvas.resized_height):
        return resized
    painted = np.empty((canvas.height, canvas.width, 4), np.uint8)
    painted[:] = (canvas.fill >> 16, canvas.fill >> 8 & 255, canvas.fill & 255, 0)
    left, top = max(0, canvas.left), max(0, canvas.top)
    shown = resized[top - canvas.top :, left - canvas.left :][: canvas.height - top, : canvas.width - left]
    painted[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return painted


def _resized(picture: Raster, size: tuple[int, int], resample: str, resize: Resize) -> Raster:
    return picture if picture.shape[1::-1] == size else resize(picture, size, resample)


def to_patches(view: Raster, patch: int, merge: int) -> bytes:
    """uint8 patches of a view in the order in which Qwen-VL's vision tower reads them.

    Shape [height/patch * width/patch, 3, patch, patch]: blocks of merge x merge patches in raster order, raster
    order inside a block, so that each block becomes one token. A trainer normalises, and repeats each patch for
    the temporal pair. Both sides must be multiples of patch * merge pixels. Source: transformers' Qwen2-VL image
    processor.
    """
    block_rows, block_cols = view.shape[0] // (patch * merge), view.shape[1] // (patch * merge)
    # A row of a patch is moved as one item: byte by byte it takes five times as long.
    rows = np.ascontiguousarray(_planes(view)).view(f"V{patch}").reshape(3, block_rows, merge, patch, block_cols, merge)
    return rows.transpose(1, 4, 2, 5, 0, 3).tobytes()


def to_planes(view: Raster) -> bytes:
    """uint8 pixels of a view channel first, shape [3, height, width], for families whose tower cuts patches itself."""
    return _planes(view).tobytes()


def _planes(view: Raster) -> Raster:
    return view[..., :3].transpose(2, 0, 1)

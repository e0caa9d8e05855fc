"""Pixels of planned views, equal to what the family's own processor makes before it normalises."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, SlicePlan

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}


def render(picture: Image.Image, plan: SlicePlan) -> list[Image.Image]:
    """One RGB image of exactly height x width per view of `plan`, in order.

    picture: RGB and upright. Tiles are cut from one canvas on which the whole picture was resized, so that their
    seams match. A whole view is resized from the picture, or from the canvas where that is the family's way; every
    other view straight from its box. Raises InputError (decode-error) if the
    picture has not the size that was planned.
    """
    if picture.size != (plan.width, plan.height):
        raise InputError(
            Reason.DECODE_ERROR,
            f"picture of {picture.width}x{picture.height} pixels; {plan.width}x{plan.height} expected, as planned; "
            "rebuild from unchanged shards",
        )
    resample = FILTERS[plan.resample]
    canvas = picture if plan.canvas is None else _paint(picture, plan.canvas, resample)
    whole = canvas if plan.canvas is not None and plan.canvas.has_whole else picture
    images = []
    for view in plan.views:
        size = (view.width, view.height)
        if view.kind == "tile":
            left, top = view.col * view.width, view.row * view.height
            images.append(canvas.crop((left, top, left + view.width, top + view.height)))
        elif view.kind == "whole":
            images.append(_resized(whole, size, resample))
        else:
            images.append(picture.resize(size, resample, box=view.box))
    return images


def _paint(picture: Image.Image, canvas: Canvas, resample: Image.Resampling) -> Image.Image:
    """The whole canvas from which tiles are cut."""
    if canvas.first_width:
        picture = _resized(picture, (canvas.first_width, canvas.first_height), resample)
    resized = _resized(picture, (canvas.resized_width, canvas.resized_height), resample)
    if (canvas.left, canvas.top, canvas.width, canvas.height) == (0, 0, *resized.size):
        return resized
    fill = (canvas.fill >> 16, canvas.fill >> 8 & 255, canvas.fill & 255)
    painted = Image.new("RGB", (canvas.width, canvas.height), fill)
    painted.paste(resized, (canvas.left, canvas.top))
    return painted


def _resized(picture: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, resample)


def to_patches(image: Image.Image, patch: int, merge: int) -> bytes:
    """uint8 patches of a view in the order in which Qwen-VL's vision tower reads them.

    Shape [height/patch * width/patch, 3, patch, patch]: blocks of merge x merge patches in raster order, raster
    order inside a block, so that each block becomes one token. A trainer normalises, and repeats each patch for
    the temporal pair. Both sides must be multiples of patch * merge pixels. Source: transformers' Qwen2-VL image
    processor.
    """
    block_rows, block_cols = image.height // (patch * merge), image.width // (patch * merge)
    pixels = np.asarray(image).reshape(block_rows, merge, patch, block_cols, merge, patch, 3)
    return pixels.transpose(0, 3, 1, 4, 6, 2, 5).tobytes()


def to_planes(image: Image.Image) -> bytes:
    """uint8 pixels of a view channel first, shape [3, height, width], for families whose tower cuts patches itself."""
    return np.asarray(image).transpose(2, 0, 1).tobytes()

"""Pixels of planned views, equal to what the family's own processor makes before it normalises."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.errors import InputError, Reason
from pipeline.types import SlicePlan

BICUBIC = Image.Resampling.BICUBIC


def render(picture: Image.Image, plan: SlicePlan) -> list[Image.Image]:
    """One RGB image of exactly height x width per view of `plan`, in order.

    picture: RGB and upright. Tiles are cut from one canvas on which the whole picture was resized, so that their
    seams match; every other view is resized straight from its box. Raises InputError (decode-error) if the
    picture has not the size that was planned.
    """
    if picture.size != (plan.width, plan.height):
        raise InputError(
            Reason.DECODE_ERROR,
            f"picture of {picture.width}x{picture.height} pixels; {plan.width}x{plan.height} expected, as planned; "
            "rebuild from unchanged shards",
        )
    canvas = _paint(picture, plan)
    images = []
    for view in plan.views:
        if view.kind == "tile":
            left, top = view.col * view.width, view.row * view.height
            images.append(canvas.crop((left, top, left + view.width, top + view.height)))
        else:
            images.append(picture.resize((view.width, view.height), BICUBIC, box=view.box))
    return images


def _paint(picture: Image.Image, plan: SlicePlan) -> Image.Image:
    """The canvas of a plan with tiles; otherwise the picture itself, which nothing then cuts."""
    if plan.canvas is None:
        return picture
    canvas = Image.new("RGB", (plan.canvas.width, plan.canvas.height))
    resized = picture.resize((plan.canvas.resized_width, plan.canvas.resized_height), BICUBIC)
    canvas.paste(resized, (plan.canvas.left, plan.canvas.top))
    return canvas


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

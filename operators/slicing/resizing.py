"""Resizes rasters as a model family's own processor does, by torch or by Pillow.

Transformers has each processor twice: on torchvision, which is its default where that is installed, and on Pillow.
They differ by 1 of 255 in half a percent of the values, and torch takes a fifth of Pillow's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from PIL import Image

from operators.raster import Raster, picture_of, raster_of

ResizeName = Literal["torch", "pillow"]
Resize: TypeAlias = Callable[[Raster, tuple[int, int], str], Raster]
"""A raster at (width, height) by a filter of FILTERS, antialiased."""
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}


def resizer(name: ResizeName) -> Resize:
    """The function of that name. torch is imported here, for seconds, and nowhere else on the way to a view."""
    if name == "pillow":
        return resize_by_pillow
    from operators.slicing.resizing_torch import resize_by_torch

    return resize_by_torch


def resize_by_pillow(raster: Raster, size: tuple[int, int], resample: str) -> Raster:
    """By the filters that torch has and those that it has not."""
    return raster_of(picture_of(raster).resize(size, FILTERS[resample]))


def resize_part(raster: Raster, size: tuple[int, int], resample: str, box: tuple[int, int, int, int]) -> Raster:
    """The part in a box, whose borders take in what lies around it, so that neighbours fit: Pillow alone does that."""
    return raster_of(picture_of(raster).resize(size, FILTERS[resample], box=box))

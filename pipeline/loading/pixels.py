"""Pixels of stored views as a vision tower reads them: uint8 from whatever a pack keeps, then normalised float32."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.operator import Row

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
TEMPORAL_PAIR = 2
"""Frames in one patch of Qwen-VL's tower; a still picture fills both."""


def planes(view: Row) -> Bytes:
    """The pixels of a view of `encoded` or `planes` pixels, channel first: uint8 [3, height, width]."""
    pixels = view["pixels"]
    if pixels["format"] == "planes":
        return np.frombuffer(pixels["data"], np.uint8).reshape(3, view["height"], view["width"])
    with Image.open(io.BytesIO(pixels["data"])) as picture:
        return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def patches(view: Row, patch: int, merge: int) -> Bytes:
    """The pixels of a view of `encoded` or `patches` pixels, cut as Qwen-VL's tower reads them.

    uint8 [height/patch * width/patch, 3, patch, patch]: blocks of merge x merge patches in raster order, raster order
    inside a block. Source: patchify of transformers' Qwen2-VL image processor.
    """
    pixels = view["pixels"]
    if pixels["format"] == "patches":
        return np.frombuffer(pixels["data"], np.uint8).reshape(-1, 3, patch, patch)
    block_rows, block_cols = view["height"] // (patch * merge), view["width"] // (patch * merge)
    cut = planes(view).reshape(3, block_rows, merge, patch, block_cols, merge, patch)
    return cut.transpose(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3, patch, patch)


def normalise(pixels: Bytes, mean: Sequence[float], std: Sequence[float]) -> Floats:
    """(x / 255 - mean) / std for each channel: float32 of the same shape, [..., 3, height, width]."""
    shift, scale = (np.asarray(values, np.float32)[:, np.newaxis, np.newaxis] for values in (mean, std))
    normal: Floats = (pixels.astype(np.float32) / np.float32(255) - shift) / scale
    return normal


def flatten_patches(normal: Floats) -> Floats:
    """Normalised patches [n, 3, patch, patch] as rows of (channel, frame, y, x): float32 [n, 6 * patch * patch]."""
    pair = np.repeat(normal[:, :, np.newaxis], TEMPORAL_PAIR, axis=2)
    return pair.reshape(len(normal), -1)

"""Encodes a rendered view: lossless where it is flat-coloured and was never a JPEG, JPEG 95 4:4:4 otherwise."""

from __future__ import annotations

import io

import numpy as np

from operators.raster import Raster, picture_of

FLAT_SHARE = 0.5
"""A view is flat-coloured (screenshot, chart, drawing) if this share of its pixels equals its left neighbour."""
JPEG_QUALITY = 95
WEBP_MAX_SIDE = 16383
"""Longest side, in pixels, that WebP can hold; a page shot as one picture may be longer."""
LITTLE, COLOUR_BITS = np.dtype("<u4"), np.uint32(0xFFFFFF)
"""A pixel of a raster as one number, and the bits of it that are colour."""


def encode_view(view: Raster, *, from_jpeg: bool) -> tuple[bytes, str]:
    """The encoded bytes of a view and their format: `webp` (lossless; `png` where too long for it) or `jpeg`.

    from_jpeg: whether the picture was one. It is never made lossless: smooth photographs pass for flat-coloured ones,
    and their noise takes 130 ms in place of 4, to keep what is lost already.
    """
    picture, buffer = picture_of(view), io.BytesIO()
    if from_jpeg or not is_flat(view):
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
        return buffer.getvalue(), "jpeg"
    if max(picture.size) > WEBP_MAX_SIDE:
        picture.save(buffer, "PNG")
        return buffer.getvalue(), "png"
    picture.save(buffer, "WEBP", lossless=True, quality=0, method=1, exact=True)
    return buffer.getvalue(), "webp"


def is_flat(view: Raster) -> bool:
    """Whether horizontal neighbours are mostly equal."""
    colours = np.ascontiguousarray(view).view(LITTLE)[..., 0] & COLOUR_BITS
    pairs = colours.shape[0] * (colours.shape[1] - 1)
    return bool(np.count_nonzero(colours[:, 1:] == colours[:, :-1]) >= FLAT_SHARE * pairs)

"""Encodes a rendered view: lossless where it is flat-coloured, JPEG 95 4:4:4 otherwise."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

FLAT_SHARE = 0.5
"""A view is flat-coloured (screenshot, chart, drawing) if this share of its pixels equals its left neighbour."""
JPEG_QUALITY = 95
WEBP_MAX_SIDE = 16383
"""Longest side, in pixels, that WebP can hold; a page shot as one picture may be longer."""


def encode_view(view: Image.Image) -> tuple[bytes, str]:
    """The encoded bytes of an RGB view and their format: `webp` (lossless; `png` where too long for it) or `jpeg`."""
    buffer = io.BytesIO()
    if is_flat(view):
        if max(view.size) > WEBP_MAX_SIDE:
            view.save(buffer, "PNG")
            return buffer.getvalue(), "png"
        view.save(buffer, "WEBP", lossless=True, quality=0, method=1, exact=True)
        return buffer.getvalue(), "webp"
    view.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
    return buffer.getvalue(), "jpeg"


def is_flat(view: Image.Image) -> bool:
    """Whether horizontal neighbours are mostly equal, which no photograph's are."""
    pixels = np.asarray(view)
    return bool((pixels[:, 1:] == pixels[:, :-1]).all(axis=-1).mean() >= FLAT_SHARE) if view.width > 1 else True

"""Decodes plain JPEGs by simplejpeg where that is installed (lodepack[fast]): the pixels are Pillow's, two thirds the
time. What simplejpeg finds the least wrong with is left to Pillow, whose judgement counts.
"""

from __future__ import annotations

from PIL import Image

from operators.raster import Raster

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

MODES = frozenset({"L", "RGB"})
"""CMYK and YCCK are turned into RGB in Pillow's way."""


def plain_jpeg(opened: Image.Image, data: bytes) -> Raster | None:
    """The pixels of an opened picture, not yet upright; None where Pillow is to decode it."""
    if simplejpeg is None or opened.format != "JPEG" or opened.mode not in MODES:
        return None
    try:
        pixels: Raster = simplejpeg.decode_jpeg(data, "RGBX", strict=True)
    except (ValueError, RuntimeError):
        return None
    return pixels if pixels.shape[1::-1] == opened.size else None

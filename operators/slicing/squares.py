"""A whole picture on one square: as it is, padded or cropped."""

from __future__ import annotations

from pipeline.errors import InputError, Reason
from pipeline.types import Canvas, View

MAX_CANVAS_PIXELS = 400_000_000
"""1.2 GB. A sliver of a few megapixels would otherwise be padded to a square, or enlarged, beyond any memory."""


def square_view(box: tuple[int, int, int, int], side: int, patch: int, merge: int = 1) -> View:
    """The `whole` view that shows `box` (pixels of the picture) on side x side pixels.

    patch: pixels a vision patch; merge: patches a token along each side. Its cells are its own grid of tokens.
    """
    patches = side // patch
    tokens = patches // merge
    return View(
        kind="whole",
        row=0,
        col=0,
        box=box,
        height=side,
        width=side,
        grid_t=1,
        grid_h=patches,
        grid_w=patches,
        rows=tokens,
        cols=tokens,
        tokens=tokens * tokens,
        cells=(0, 0, tokens, tokens),
    )


def pad_to_square(width: int, height: int, fill: int) -> Canvas:
    """The picture at its own size in the middle of a square of `fill` (0xRRGGBB), from which the whole view is resized.

    Raises InputError (image-sliver) over MAX_CANVAS_PIXELS. Source: expand2square of LLaVA's mm_utils.py.
    """
    side = max(width, height)
    _refuse_larger(width, height, side, side)
    return Canvas(side, side, width, height, (side - width) // 2, (side - height) // 2, fill=fill, has_whole=True)


def crop_to_square(width: int, height: int, side: int) -> tuple[Canvas, tuple[int, int, int, int]]:
    """The picture with its shorter edge resized to `side` and the middle cut out; and the pixels that are left of it.

    Borders are rounded to the nearest pixel. Raises InputError (image-sliver) where the resized picture is over
    MAX_CANVAS_PIXELS. Source: transformers' CLIP image processor.
    """
    longer = int(side * max(width, height) / min(width, height))
    resized = (side, longer) if width <= height else (longer, side)
    _refuse_larger(width, height, *resized)
    left, top = (resized[0] - side) // 2, (resized[1] - side) // 2
    box = (
        _nearest(left, width, resized[0]),
        _nearest(top, height, resized[1]),
        _nearest(left + side, width, resized[0]),
        _nearest(top + side, height, resized[1]),
    )
    return Canvas(side, side, *resized, -left, -top, has_whole=True), box


def _nearest(border: int, length: int, resized: int) -> int:
    """Where `border` of the resized picture lies in the picture; halves go up, so that no box is empty."""
    return (2 * border * length + resized) // (2 * resized)


def _refuse_larger(width: int, height: int, new_width: int, new_height: int) -> None:
    if new_width * new_height > MAX_CANVAS_PIXELS:
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels becomes {new_width}x{new_height} on the way to a square; at most "
            f"{MAX_CANVAS_PIXELS:,} pixels expected; crop or drop it",
        )

"""M-RoPE of Qwen2-VL and its successors: time, height and width for every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.positions.pieces import Image, Piece, Text


def positions(pieces: Sequence[Piece]) -> npt.NDArray[np.int32]:
    """Time, height and width of each token: int32 [3, n].

    Text and markers advance all three together. An image stands still in time; height and width are the centre of
    the token's cell in the image's native grid, floored, so that the tokens of a view rendered small spread over
    the cells they stand for, and those of one rendered natively count 0, 1, 2 … as in the reference. What follows
    continues after the largest of the three. Raises ValueError if an image's runs do not hold its views' tokens.
    Source: rope2d.py of QwenLM/Qwen3-VL.
    """
    blocks = [np.empty((3, 0), dtype=np.int64)]
    following = 0
    for block in _blocks(pieces):
        blocks.append(block + following)
        following += int(block.max(initial=-1)) + 1
    return np.concatenate(blocks, axis=1).astype(np.int32)


def _blocks(pieces: Sequence[Piece]) -> Iterator[npt.NDArray[np.int64]]:
    """Stretches of text, and of visual tokens that no marker parts: int64 [3, n], each counted from its own start."""
    for piece in pieces:
        if isinstance(piece, Text):
            yield _text(piece.count)
        else:
            yield from _image_blocks(piece)


def _image_blocks(image: Image) -> Iterator[npt.NDArray[np.int64]]:
    left = [_centres(view) for view in image.views]
    for is_visual, group in groupby(image.runs, key=lambda run: run["view"] >= 0):
        runs = list(group)
        count = sum(run["count"] for run in runs)
        if not is_visual:
            yield _text(count)
            continue
        parts = []
        for run in runs:
            part, left[run["view"]] = np.split(left[run["view"]], [run["count"]], axis=1)
            parts.append(part)
        block = np.concatenate(parts, axis=1)
        if block.shape[1] != count:
            raise ValueError(f"layout of {count} visual tokens; {block.shape[1]} expected, as the views have")
        yield block
    if any(rest.size for rest in left):
        raise ValueError("layout holds fewer visual tokens than its views; as many expected")


def _text(count: int) -> npt.NDArray[np.int64]:
    return np.tile(np.arange(count), (3, 1))


def _centres(view: dict[str, Any]) -> npt.NDArray[np.int64]:
    """Time (0) and the native cell at the centre of each token of a view: int64 [3, rows * cols]."""
    rows, cols = view["rows"], view["cols"]
    top, left, bottom, right = view["cells"]
    heights = top + (2 * np.arange(rows) + 1) * (bottom - top) // (2 * rows)
    widths = left + (2 * np.arange(cols) + 1) * (right - left) // (2 * cols)
    return np.stack([np.zeros(rows * cols, dtype=np.int64), np.repeat(heights, cols), np.tile(widths, rows)])

"""M-RoPE of Qwen2-VL and its successors: time, height and width for every token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from operators.positions.pieces import Image, Piece, Text, Video

Block = npt.NDArray[np.int32]


class MRope(BaseModel, frozen=True, extra="forbid"):
    """Qwen2-VL (a step of a video is one position), Qwen2.5-VL (so many positions a second) and Qwen3-VL.

    How a model lays the three over its rotary frequencies (chunked in Qwen2 and 2.5, interleaved in Qwen3) is its own
    affair: the positions are the same. Qwen3-VL writes a timestamp before each step of a video, so that each is an
    image between texts and its rule needs no `tokens_per_second`.
    """

    rule: Literal["mrope"] = "mrope"
    tokens_per_second: float | None = Field(None, gt=0)
    """Positions that a second of video takes; None: every step of a video takes one."""

    @property
    def fractional(self) -> bool:
        return False

    def positions(self, pieces: Sequence[Piece]) -> npt.NDArray[np.int32]:
        """Time, height and width of each token: int32 [3, n].

        Text and markers advance all three together. An image stands still in time; height and width are the centre of
        the token's cell in the image's native grid, floored, so that the tokens of a view rendered small spread over
        the cells they stand for, and those of one rendered natively count 0, 1, 2 … as in the reference. What follows
        continues after the largest of the three. Raises ValueError if an image's runs do not hold its views' tokens.
        Source: rope2d.py of QwenLM/Qwen3-VL. (transformers 5.23 goes on after a video's rows and columns alone, which
        would number text before a long video's end.)
        """
        return blockwise(self._blocks(pieces), 3)

    def _blocks(self, pieces: Sequence[Piece]) -> Iterator[Block]:
        for piece in pieces:
            if isinstance(piece, Text):
                yield text_block(piece.count, 3)
            elif isinstance(piece, Video):
                yield self._video(piece)
            else:
                yield from image_blocks(piece)

    def _video(self, video: Video) -> Block:
        step = 1.0 if self.tokens_per_second is None else video.seconds * self.tokens_per_second
        times = (np.arange(video.steps) * step).astype(np.int32)
        grid = np.meshgrid(times, np.arange(video.rows), np.arange(video.cols), indexing="ij")
        return np.stack([axis.ravel() for axis in grid]).astype(np.int32)


def blockwise(blocks: Iterable[Block], num_rows: int) -> npt.NDArray[np.int32]:
    """Blocks [num_rows, n], each counted from its own start, one after the largest position of the other."""
    placed = [np.empty((num_rows, 0), dtype=np.int32)]
    following = 0
    for block in blocks:
        placed.append(block + np.int32(following))
        following += int(block.max(initial=-1)) + 1
    return np.concatenate(placed, axis=1)


def image_blocks(image: Image) -> Iterator[Block]:
    """Markers, and stretches of visual tokens that no marker parts: [3, n], each counted from its own start."""
    left = [_centres(view) for view in image.views]
    taken = [0] * len(left)
    for is_visual, group in groupby(image.runs, key=lambda run: run["view"] >= 0):
        runs = list(group)
        count = sum(run["count"] for run in runs)
        if not is_visual:
            yield text_block(count, 3)
            continue
        parts = []
        for run in runs:
            view, first = run["view"], taken[run["view"]]
            taken[view] = first + run["count"]
            parts.append(left[view][:, first : taken[view]])
        block = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        if block.shape[1] != count:
            raise ValueError(f"layout of {count} visual tokens; {block.shape[1]} expected, as the views have")
        yield block
    if any(all_of.shape[1] > used for all_of, used in zip(left, taken, strict=True)):
        raise ValueError("layout holds fewer visual tokens than its views; as many expected")


def text_block(count: int, num_rows: int) -> Block:
    """`count` tokens that advance every row alike."""
    return np.broadcast_to(np.arange(count, dtype=np.int32), (num_rows, count))


def _centres(view: dict[str, Any]) -> Block:
    """Time (0) and the native cell at the centre of each token of a view: int32 [3, rows * cols]."""
    rows, cols = view["rows"], view["cols"]
    top, left, bottom, right = view["cells"]
    centres = np.zeros((3, rows, cols), np.int32)
    centres[1] = (top + (2 * np.arange(rows) + 1) * (bottom - top) // (2 * rows))[:, np.newaxis]
    centres[2] = left + (2 * np.arange(cols) + 1) * (right - left) // (2 * cols)
    return centres.reshape(3, -1)

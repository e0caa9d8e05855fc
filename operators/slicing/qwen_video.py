"""Qwen-VL's rules for frames of a video: how many, how large, and at which times; pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from operators.slicing.qwen import QwenConfig, smart_resize
from pipeline.types import Modality, Run, SlicePlan, View

FRAME_FACTOR = 2
"""Frames that become one step of visual tokens."""
MIN_FRAMES, MAX_FRAMES = 4, 768
FRAME_TOKENS = (128, 768)
"""Fewest and most tokens that one frame may have."""
CONTEXT_TOKENS = 128_000 * 9 // 10
"""Tokens that all frames of a video may have together."""


def num_frames(total_frames: int, video_fps: float, fps: float = 2.0) -> int:
    """Frames to take of a video of `total_frames` at `video_fps`: an even number, `fps` a second within 4 to 768.

    Raises ValueError for a video of fewer than two frames. Source: smart_nframes of qwen-vl-utils.
    """
    if total_frames < FRAME_FACTOR:
        raise ValueError(f"video of {total_frames} frames; at least {FRAME_FACTOR} expected")
    most = min(MAX_FRAMES, total_frames) // FRAME_FACTOR * FRAME_FACTOR
    wanted = min(max(total_frames / video_fps * fps, MIN_FRAMES), most, total_frames)
    return math.floor(wanted / FRAME_FACTOR) * FRAME_FACTOR


def frame_size(width: int, height: int, frames: int, config: QwenConfig) -> tuple[int, int]:
    """(width, height) in pixels at which each of `frames` frames is seen: a long video has smaller ones.

    Raises InputError (image-sliver) above 200:1. Source: fetch_video of qwen-vl-utils.
    """
    area = config.factor**2
    least = FRAME_TOKENS[0] * area
    most = max(
        min(FRAME_TOKENS[1] * area, CONTEXT_TOKENS * area / frames * FRAME_FACTOR),
        int(least * 1.05),
    )
    return smart_resize(width, height, config.factor, least, int(most))


def timestamps(frames: Sequence[int], fps: float) -> list[float]:
    """Seconds of each pair of frames, given by number: the middle of both. An odd last frame is paired with itself.

    Source: _calculate_timestamps of transformers' Qwen3-VL processor.
    """
    padded = [*frames, *([frames[-1]] * (len(frames) % FRAME_FACTOR))]
    return [(a / fps + b / fps) / FRAME_FACTOR for a, b in zip(padded[::2], padded[1::2], strict=True)]


def plan_frames(
    width: int,
    height: int,
    seconds: Sequence[float],
    config: QwenConfig,
    tokens: Mapping[str, str],
) -> SlicePlan:
    """The views of a video's steps, one at each of `seconds` (the times of `timestamps`), and their layout.

    config.stamped_frames (Qwen3-VL): each step is enclosed alone, behind its time as text; otherwise (Qwen2-VL,
    Qwen2.5-VL) one start and one end mark enclose all. tokens: as `Scheme.plan`, with `video`.
    """
    new_width, new_height = frame_size(width, height, len(seconds) * FRAME_FACTOR, config)
    rows, cols = new_height // config.factor, new_width // config.factor
    views = tuple(
        View(
            kind="frame",
            row=0,
            col=0,
            box=(0, 0, width, height),
            height=new_height,
            width=new_width,
            grid_t=1,
            grid_h=new_height // config.patch,
            grid_w=new_width // config.patch,
            rows=rows,
            cols=cols,
            tokens=rows * cols,
            cells=(0, 0, rows, cols),
        )
        for _ in seconds
    )
    layout = tuple(_layout(rows * cols, seconds, tokens, stamped=config.stamped_frames))
    return SlicePlan(config.scheme, width, height, rows, cols, views, layout, tokens["video"])


def _layout(count: int, seconds: Sequence[float], tokens: Mapping[str, str], *, stamped: bool) -> Iterator[Run]:
    start, end = (Run(tokens[role], Modality.MARKER, -1, 1) for role in ("image_start", "image_end"))
    if not stamped:
        yield start
    for step, time in enumerate(seconds):
        if stamped:
            yield Run(f"<{time:.1f} seconds>", Modality.MARKER, -1, 1)
            yield start
        yield Run(tokens["video"], Modality.VIDEO, step, count)
        if stamped:
            yield end
    if not stamped:
        yield end

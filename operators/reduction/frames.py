"""Which frames of a video are taken, by Qwen's and by Dynamic-VLM's rules, and how their times are told; arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

from operators.slicing.qwen_video import num_frames

MAX_FRAMES = 100
"""Of Dynamic-VLM's sample_config.yaml, max_batch_frames."""


def qwen_frames(total_frames: int, video_fps: float, fps: float = 2.0) -> list[int]:
    """Numbers of an even count of frames, evenly spaced, the first and the last among them.

    Halves are rounded to the even number. ValueError for a video of fewer than two frames. Source: fetch_video of
    qwen-vl-utils, whose float32 steps miss a half by a bit in places, and so may take the neighbour there.
    """
    count = num_frames(total_frames, video_fps, fps)
    return [round(Fraction(place * (total_frames - 1), count - 1)) for place in range(count)]


def dynamic_vlm_frames(times: Sequence[Fraction], most: int = MAX_FRAMES) -> list[int]:
    """Numbers of the first frame of each second; where these are more than `most`, evenly chosen ones of them.

    times: of every frame of the video, in seconds. Source: ByteVideoLLM's video_llm_data.py (sample_frames, `global`),
    which reads videos that were cut to a frame a second.
    """
    firsts: dict[int, int] = {}
    for number, time in enumerate(times):
        firsts.setdefault(floor(time), number)
    return evenly(list(firsts.values()), most)


def evenly(items: list[int], most: int) -> list[int]:
    """All items, or the first of each of `most` stretches of them; the stretches that are longer by one come first."""
    if len(items) <= most:
        return items
    stride, longer = divmod(len(items), most)
    return [items[place * stride + min(place, longer)] for place in range(most)]


def stamp_texts(seconds: Sequence[int]) -> list[str]:
    """The texts before each frame and behind the last: `1s: `, `; 2s: ` …, and `; ` with a line end.

    One frame alone has no time: both are empty. Source: add_timestamp of ByteVideoLLM's video_llm_data.py, which counts
    frames from 1 and calls that seconds, also where it left some out; here the caller says the times.
    """
    if len(seconds) == 1:
        return ["", ""]
    return [*(f"{'; ' if i else ''}{second}s: " for i, second in enumerate(seconds)), "; \n"]

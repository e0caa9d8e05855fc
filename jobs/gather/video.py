"""Frames of a video file by the rule of a model family, as pictures; PyAV decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from operators.encode import encode_view
from operators.raster import raster_of
from operators.reduction.frames import MAX_FRAMES, dynamic_vlm_frames, qwen_frames, stamp_texts
from pipeline.errors import ConfigError, InputError, Reason

Rule = Literal["qwen", "dynamic_vlm"]
RULES: tuple[Rule, ...] = get_args(Rule)
VIDEO_FIELDS = frozenset({"mp4", "m4v", "mov", "mkv", "webm", "avi"})
EXTENSIONS = {"jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which frames are taken."""

    rule: Rule = "qwen"
    fps: float = 2.0
    """Of qwen: frames a second, within 4 to 768 in all."""
    most: int = MAX_FRAMES
    """Of dynamic_vlm, which takes one a second: at most so many, evenly."""
    stamps: bool = False
    """Whether each frame stands behind its second, as Dynamic-VLM's do: the sample is then `interleaved`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A chosen frame: its number among all, its time from the first in seconds, and its picture."""

    number: int
    seconds: float
    extension: str
    data: bytes


def choice_of(rule: str, fps: float, most: int | None, *, stamps: bool = False) -> Choice:
    """The choice that a user named. ConfigError where there is no such rule."""
    for known in RULES:
        if rule == known:
            return Choice(known, fps, most or MAX_FRAMES, stamps)
    raise ConfigError(f"--frames {rule}: choose {', '.join(RULES)}")


def require_av() -> Any:
    """The module that decodes. ConfigError, in one line, where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ConfigError(f"{error}; install what videos need: pip install 'lodepack[video]'") from error
    return av


def read_frames(path: Path, choice: Choice) -> list[Frame]:
    """The chosen frames of the first video stream, upright; lossless where flat-coloured, else JPEG 95 4:4:4.

    The packets are counted first, so that only chosen frames are kept in memory. InputError for what is no video, has
    no frames, or breaks off before its last chosen frame.
    """
    av = require_av()
    try:
        with av.open(str(path)) as container:
            stamps, unit = _stamps(container)
        times = [(stamp - stamps[0]) * unit for stamp in stamps]
        numbers = chosen(times, choice)
        wanted = {stamps[number]: number for number in numbers}
        found = {}
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                number = wanted.pop(frame.pts, None)
                if number is not None:
                    upright = frame.to_image().rotate(frame.rotation, expand=True)
                    data, form = encode_view(raster_of(upright), from_jpeg=False)
                    found[number] = Frame(number, float(times[number]), EXTENSIONS.get(form, form), data)
                if not wanted:
                    break
    except (av.FFmpegError, ValueError) as error:
        raise InputError(Reason.DECODE_ERROR, str(error)) from error
    if wanted:
        raise InputError(Reason.DECODE_ERROR, f"breaks off: {len(wanted)} of {len(numbers)} chosen frames are missing")
    return [found[number] for number in numbers]


def interleaved(frames: Sequence[Frame], caption: str) -> dict[str, list[str | None]]:
    """The texts and images of a sample of these frames, each behind its second, and the caption behind all of them."""
    texts = stamp_texts([int(frame.seconds) for frame in frames])
    found: list[tuple[str | None, str | None]] = []
    for place, (text, frame) in enumerate(zip(texts, frames, strict=False)):
        found += [(text, None)] if text else []
        found.append((None, f"{place}.{frame.extension}"))
    found += [(texts[-1] + caption, None)] if texts[-1] + caption else []
    return {"texts": [text for text, _ in found], "images": [image for _, image in found]}


def chosen(times: list[Fraction], choice: Choice) -> list[int]:
    """Numbers of the chosen frames of a video whose frames have these times. ValueError for too few of them."""
    if choice.rule == "dynamic_vlm":
        return dynamic_vlm_frames(times, choice.most)
    fps = (len(times) - 1) / times[-1] if times[-1] else Fraction(1)
    return qwen_frames(len(times), float(fps), choice.fps)


def _stamps(container: Any) -> tuple[list[int], Fraction]:
    """Time stamps of all frames that will be shown, in their order, and the seconds of one unit of them."""
    if not container.streams.video:
        raise ValueError("no video in it")
    stream = container.streams.video[0]
    shown = {packet.pts for packet in container.demux(stream) if packet.pts is not None and not packet.is_discard}
    if not shown:
        raise ValueError("no frames in it")
    return sorted(shown), stream.time_base

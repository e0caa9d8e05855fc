"""What a model family makes of one image size: its views, its token counts and its layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from operators.profiles import load_profile
from operators.slicing.qwen import QwenConfig
from operators.slicing.qwen_video import num_frames, plan_frames, timestamps
from pipeline.errors import ConfigError, InputError
from pipeline.types import Modality, Run, SlicePlan

VIEW_FIELDS = ("kind", "row", "col", "box", "height", "width", "grid_t", "grid_h", "grid_w", "rows", "cols", "tokens")
TILED = ("tile", "region")
"""Kinds of view that stand in a grid of their own."""
SIZE = re.compile(r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})")
MAX_PERIOD = 64
"""Longest stretch of a layout that is looked for again behind itself."""

Item = tuple[str, int]
"""A symbol of a layout and how often it stands there in a row."""


def show_plan(profile_name: str, size: str) -> dict[str, Any]:
    """The plan of an image of `size` ("640x480", pixels) as profile `profile_name` has it.

    visual_tokens counts every id that the image adds; placeholders those alone that features replace, newline
    embeddings among them; grid is [rows, cols] of the tiles, or of merged tokens where there are none.
    ConfigError for an unknown profile, for what is no size, and for a shape that the family refuses.
    """
    profile = load_profile(profile_name)
    try:
        plan = profile.slicing.plan(*_size(size), profile.tokens.by_role())
    except InputError as error:
        raise ConfigError(f"{profile_name}: {error}") from error
    return _facts(plan)


def _size(size: str) -> tuple[int, int]:
    match = SIZE.fullmatch(size)
    if match is None:
        raise ConfigError(f"{size!r} is no image size; WIDTHxHEIGHT in pixels is expected, such as 640x480")
    return int(match[1]), int(match[2])


def _facts(plan: SlicePlan) -> dict[str, Any]:
    return {
        "visual_tokens": plan.tokens,
        "placeholders": plan.placeholders,
        "views": [{name: getattr(view, name) for name in VIEW_FIELDS} for view in plan.views],
        "grid": _grid(plan),
        "layout": write_layout(plan),
    }


def show_video(profile_name: str, size: str, seconds: float, fps: float) -> dict[str, Any]:
    """What profile `profile_name` makes of a video of `size` that lasts `seconds`, at `fps` frames a second.

    The keys of `show_plan`, and num_frames, the frames that are looked at. ConfigError where the family takes no
    videos here, or refuses this one.
    """
    profile = load_profile(profile_name)
    tokens = profile.tokens.by_role()
    if not isinstance(profile.slicing, QwenConfig) or "video" not in tokens:
        raise ConfigError(f"profile {profile_name} has no rule for videos here; the Qwen families have")
    width, height = _size(size)
    try:
        total = round(seconds * fps)
        count = num_frames(total, fps)
        frames = [round(i * (total - 1) / (count - 1)) for i in range(count)]
        plan = plan_frames(width, height, timestamps(frames, fps), profile.slicing, tokens)
    except (InputError, ValueError) as error:
        raise ConfigError(f"{profile_name}: {error}") from error
    return _facts(plan) | {"num_frames": count}


def write_layout(plan: SlicePlan) -> str:
    """The layout on one line: `token*count`, and `(…)*count` for equal stretches that follow each other."""
    return " ".join(_fold(_items(plan)))


def _grid(plan: SlicePlan) -> list[int]:
    tiles = [view for view in plan.views if view.kind in TILED]
    if not tiles:
        return [plan.grid_h, plan.grid_w]
    return [1 + max(view.row for view in tiles), 1 + max(view.col for view in tiles)]


def _items(plan: SlicePlan) -> list[Item]:
    """Runs as symbols; the runs that neighbouring tiles have in one row of tokens are one."""
    items: list[Item] = []
    kinds: list[str] = []
    for run in plan.layout:
        kind = plan.views[run.view].kind if run.view >= 0 else ""
        symbol = _symbol(run, plan.placeholder)
        if items and items[-1][0] == symbol and kinds[-1] == kind and (kind in TILED or not kind):
            items[-1] = (symbol, items[-1][1] + run.count)
        else:
            items.append((symbol, run.count))
            kinds.append(kind)
    return items


def _symbol(run: Run, placeholder: str) -> str:
    """A placeholder without a view is the embedding that ends a row of tokens."""
    if run.token == placeholder and run.modality == Modality.MARKER:
        return "newline"
    return run.token.encode("unicode_escape").decode("ascii") if run.token.isspace() else run.token


def _fold(items: Sequence[Item]) -> list[str]:
    """Items as words, each longest repetition folded."""
    words: list[str] = []
    i = 0
    while i < len(items):
        period, times = max(
            ((period, _repeats(items, i, period)) for period in range(1, min(MAX_PERIOD, len(items) - i) + 1)),
            key=lambda found: (found[0] * found[1] if found[1] > 1 else 0, -found[0]),
        )
        stretch = [symbol if count == 1 else f"{symbol}*{count}" for symbol, count in items[i : i + period]]
        words += [f"({' '.join(stretch)})*{times}"] if times > 1 else stretch
        i += period * times
    return words


def _repeats(items: Sequence[Item], start: int, period: int) -> int:
    """How often the `period` items from `start` on follow each other."""
    times = 1
    while list(items[start : start + period]) == list(items[start + times * period : start + (times + 1) * period]):
        times += 1
    return times

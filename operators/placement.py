"""Where a document's pictures stand among its texts; neither pictures nor texts change their own order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.operator import Row
from pipeline.types import SegmentKind


class PlacementConfig(BaseModel):
    """How a document's segments are ordered before they are laid out. Conversations keep their turns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Literal["interleaved", "prefix", "suffix", "window"] = "interleaved"
    """interleaved: as the document has them; prefix: before all text, which then sees them; suffix: after all text;
    window: before the texts of their window."""
    window_texts: int = Field(4, ge=1)
    """Texts of one window, with the pictures among and before them."""


AS_IT_IS = PlacementConfig()


def place(segments: Sequence[Row], config: PlacementConfig) -> list[Row]:
    """The segments of a document in the order of `config`."""
    if config.images == "interleaved" or any(segment["role"] is not None for segment in segments):
        return list(segments)
    if config.images == "window":
        return [segment for window in _windows(segments, config.window_texts) for segment in _images_first(window)]
    placed = _images_first(segments)
    if config.images == "prefix":
        return placed
    num_images = sum(_is_image(segment) for segment in segments)
    return placed[num_images:] + placed[:num_images]


def _windows(segments: Sequence[Row], window_texts: int) -> list[list[Row]]:
    """Runs of segments that end with their last text; pictures behind the last text are of the last window."""
    places = [i for i, segment in enumerate(segments) if not _is_image(segment)]
    ends = [i + 1 for i in places[window_texts - 1 : -1 : window_texts]]
    return [list(segments[start:end]) for start, end in pairwise([0, *ends, len(segments)])]


def _images_first(segments: Sequence[Row]) -> list[Row]:
    return sorted(segments, key=lambda segment: not _is_image(segment))


def _is_image(segment: Row) -> bool:
    return bool(segment["kind"] == SegmentKind.IMAGE)

"""What the layouts share: segments of entries, JSON as the output contract reads it, pictures that are shown once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jobs.verify.layouts.names import IMAGES
from jobs.verify.walk import Entry
from pipeline.types import Segment, SegmentKind

Items = Sequence[tuple[str, Entry]]
"""The members of one key, each with its field."""
Said = tuple[tuple[Segment, ...], str]
"""The segments of a sample, and why no build may pack it, or nothing. No segments: its members make no document."""
TOO_MANY = "has more texts and images than limits.max_sample_members"
SURROGATE = "has a text with a lone surrogate"


def image(entry: Entry | None, missing: str = "", turn: int = 0) -> Segment:
    """missing: the name of a picture that is not there."""
    if entry is None:
        return Segment(SegmentKind.IMAGE, missing, 0, 0, turn=turn)
    return Segment(SegmentKind.IMAGE, entry.name or "", entry.offset, entry.size, data=entry.data, turn=turn)


def text(entry: Entry, said: str | None, turn: int = 0) -> Segment:
    return Segment(SegmentKind.TEXT, entry.name or "", entry.offset, entry.size, text=said, turn=turn)


def is_broken(said: str) -> bool:
    """Whether a text has half of a character."""
    return any("\ud800" <= letter <= "\udfff" for letter in said)


def read_object(data: bytes | None) -> dict[str, Any] | None:
    """The object of a JSON; None if it is none."""
    try:
        found = json.loads((data or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def one_json(items: Items) -> Entry | None:
    """The JSON of a sample, if it has exactly one."""
    found = [entry for field, entry in items if field == "json"]
    return found[0] if len(found) == 1 else None


class Album:
    """The pictures of a sample by name and number; is_sound: no two have one of them."""

    def __init__(self, key: str, items: Items) -> None:
        self._base = key.rsplit("/", 1)[-1].lower()
        shown = [(field, entry) for field, entry in items if field.rpartition(".")[2] in IMAGES]
        numbers = [
            (int(stem), field) for field, _ in shown if (stem := field.rpartition(".")[0]).isdigit() and stem.isascii()
        ]
        self._left = dict(shown)
        self._by_number = dict(numbers)
        self.is_sound = len(self._left) == len(shown) and len(self._by_number) == len(numbers)

    def take(self, number: int | None, name: str | None) -> Entry | None:
        """The picture of that name, or else of that number, unless it was taken."""
        base = (name or "").lower().split("/")[-1]
        own = base[len(self._base) + 1 :] if base.startswith(f"{self._base}.") else base
        by_number = None if number is None else self._by_number.get(number)
        for field in (base, own, by_number):
            if field is not None and field in self._left:
                return self._left.pop(field)
        return None

"""The segments of a conversation, by the rules of the output contract: texts around `<image>` marks, turn by turn."""

from __future__ import annotations

import json
from typing import Any

from jobs.verify.layouts.names import IMAGES
from jobs.verify.layouts.parts import SURROGATE, TOO_MANY, Items, Said, is_broken, one_json
from jobs.verify.walk import Entry
from pipeline.types import Segment, SegmentKind

SPEAKERS = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
FIELDS = {"conversations": ("from", "value"), "messages": ("role", "content")}


def read_conversation(key: str, items: Items, most: int) -> Said:
    """Segments of the turns in the JSON, with the picture of each mark by its number."""
    shown = [(field.rpartition("."), entry) for field, entry in items if field.rpartition(".")[2] in IMAGES]
    pictures = {int(number or 0): entry for (number, _, _), entry in shown}
    index = one_json(items)
    if index is None or len(pictures) < len(shown):
        return (), "has two members of one field, or no json"
    return _read_talk(key, index, pictures, most)


def _read_talk(key: str, index: Entry, pictures: dict[int, Entry], most: int) -> Said:
    """most: segments that a sample may have; of more none is made."""
    turns = _turns(index.data or b"")
    if turns is None:
        return (), "has no json with the turns of a conversation"
    if sum(2 * value.count("<image>") + 1 for _, value in turns) > most:
        return (), TOO_MANY
    segments: list[Segment] = []
    fault = ""
    number = 0
    for turn, (role, value) in enumerate(turns):
        for text in value.split("<image>"):
            if segments and segments[-1].turn == turn:
                picture = pictures.get(number)
                place = (
                    (f"{key}.{number}", 0, 0) if picture is None else (picture.name or "", picture.offset, picture.size)
                )
                data = None if picture is None else picture.data
                segments.append(Segment(SegmentKind.IMAGE, *place, data=data, role=role, turn=turn))
                number += 1
            fault = SURROGATE if is_broken(text) else fault
            segments.append(
                Segment(SegmentKind.TEXT, index.name or "", index.offset, index.size, text=text, role=role, turn=turn)
            )
    if sorted(pictures) != list(range(number)):
        fault = f"has {number} marks and the pictures {sorted(pictures)}"
    return tuple(segments), fault


def _turns(data: bytes) -> list[tuple[str, str]] | None:
    """(role, value) of each turn; None if the JSON holds no such list."""
    try:
        index: Any = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    named = [name for name in FIELDS if isinstance(index, dict) and index.get(name) is not None]
    if len(named) != 1 or not isinstance(index[named[0]], list) or not index[named[0]]:
        return None
    turns: list[tuple[str, str]] = []
    for turn in index[named[0]]:
        speaker, value = (turn.get(field) for field in FIELDS[named[0]]) if isinstance(turn, dict) else (None, None)
        role = SPEAKERS.get(speaker) if isinstance(speaker, str) else None
        if role is None or not isinstance(value, str) or (role == "system" and turns):
            return None
        turns.append((role, value))
    return turns

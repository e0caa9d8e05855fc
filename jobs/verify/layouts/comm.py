"""CoMM documents: title, summary and steps, each of texts and pictures; a segment's turn is its step."""

from __future__ import annotations

from typing import Any

from jobs.verify.layouts.parts import (
    SURROGATE,
    TOO_MANY,
    Album,
    Items,
    Said,
    image,
    is_broken,
    one_json,
    read_object,
    text,
)
from pipeline.types import Segment


def read_comm(key: str, items: Items, most: int) -> Said:
    index = one_json(items)
    found = None if index is None else read_object(index.data)
    parts = _parts(found or {})
    album = Album(key, items)
    if index is None or parts is None:
        return (), "has no json with the steps of a document"
    if len(parts) > most:
        return (), TOO_MANY
    if not album.is_sound:
        return (), "has two images of one name or number"
    segments: list[Segment] = []
    fault, number = "", 0
    for step, said, name in parts:
        if said is not None:
            fault = SURROGATE if is_broken(said) else fault
            segments.append(text(index, said, step))
            continue
        picture = album.take(number, name)
        fault = fault if picture else f"has no picture {number}"
        segments.append(image(picture, f"{key}.{name or f'{number}.jpg'}", step))
        number += 1
    return tuple(segments), fault


def _parts(found: dict[str, Any]) -> list[tuple[int, str | None, str | None]] | None:
    """Step, text or None, and base name of a picture; None if the JSON holds something else."""
    title, summary, steps = (found.get(name) for name in ("title", "summary_info", "step_info"))
    summary = [] if summary is None else summary
    if not isinstance(steps, list) or not steps or not all(isinstance(one, list) for one in (summary, *steps)):
        return None
    parts: list[tuple[int, str | None, str | None]] = []
    if title:
        parts.append((0, title, None))
    for number, step in enumerate((summary, *steps)):
        for part in step:
            kind = part.get("type") if isinstance(part, dict) else None
            value = part.get({"text": "content", "image": "image_path"}[kind]) if kind in ("text", "image") else 0
            if not isinstance(value, str) and not (kind == "image" and value is None):
                return None
            parts.append((number, value, None) if kind == "text" else (number, None, (value or "").split("/")[-1]))
    return parts if all(said is None or isinstance(said, str) for _, said, _ in parts) else None

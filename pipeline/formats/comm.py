"""CoMM documents: `KEY.json` with the steps of one story or instruction, and their pictures beside it.

The JSON is {"title": "…", "summary_info": [PART …], "step_info": [[PART …] …]}, where a part is {"type": "text",
"content": "…"} or {"type": "image", "image_path": "…"}; data_id, dataset_type and urls are passed over. A picture is
the member `KEY.NAME` of its path's base name or, counted from 0 through summary and steps, `KEY.N.jpg`. Title and
summary stand first, where there are any, and then the steps. The number of a step, from 1, is its segments' turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.formats.draft import Draft, Pictures, only_json
from pipeline.formats.fields import (
    IMAGE_FIELDS,
    NOTHING,
    extension_of,
    invalid,
    read_object,
    split_first_dot,
    to_json,
    too_many,
)
from pipeline.tar import Member
from pipeline.types import Sample, SegmentKind

Part = tuple[int, str | None, str | None]
"""Of a step, 0 before the first: a text, or None and the base name of a picture, if it has one."""


class Comm:
    """One document of at least one step. Keys have no dot."""

    name = "comm"
    marks = "has step_info"
    optional = NOTHING
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_first_dot(member_name)

    def wanted(self, field: str) -> bool:
        return field == "json" or extension_of(field) in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        index = only_json(key, members, self.split_name, "the steps")
        parts = list(_read_parts(index, read_object(index)))
        if len(parts) > max_segments:
            raise too_many(index, len(parts), max_segments)
        pictures = Pictures(key, members, self.split_name)
        draft = Draft(key)
        number = 0
        for place, (step, text, name) in enumerate(parts):
            if text is not None:
                draft.add_text(index, text, f"part {place} of {index.name}", step)
                continue
            draft.add_picture(pictures.take(number, name), name or f"{number}.jpg", index, step)
            number += 1
        return draft.finish(len(members))

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        """What stands before the first step becomes the summary, the title its first text."""
        summary: list[dict[str, str]] = []
        steps: list[list[dict[str, str]]] = []
        members: list[tuple[str, bytes]] = []
        for segment in document.segments:
            while len(steps) < segment.turn:
                steps.append([])
            step = steps[segment.turn - 1] if segment.turn else summary
            if segment.kind == SegmentKind.TEXT:
                step.append({"type": "text", "content": segment.text or ""})
                continue
            name = f"{len(members)}.{extension_of(segment.member)}"
            step.append({"type": "image", "image_path": name})
            members.append((f"{document.key}.{name}", segment.data or b""))
        index = to_json({"data_id": document.key, "summary_info": summary, "step_info": steps})
        return [(f"{document.key}.json", index), *members]


def _read_parts(index: Member, found: dict[str, Any]) -> Iterator[Part]:
    title, summary, steps = found.get("title"), found.get("summary_info"), found.get("step_info")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, list) for step in steps):
        raise invalid(index, f"step_info of {index.name} must be a list of at least one step, itself a list of parts")
    if title:
        if not isinstance(title, str):
            raise invalid(index, f"title of {index.name} is no text")
        yield 0, title, None
    summary = [] if summary is None else summary
    if not isinstance(summary, list):
        raise invalid(index, f"summary_info of {index.name} must be a list of parts")
    for number, step in enumerate([summary, *steps]):
        for place, part in enumerate(step):
            yield _read_part(index, part, number, place)


def _read_part(index: Member, part: Any, step: int, place: int) -> Part:
    found = part if isinstance(part, dict) else {}
    kind, text, path = (found.get(name) for name in ("type", "content", "image_path"))
    where = f"part {place} of {f'step {step}' if step else 'summary_info'} of {index.name}"
    if kind == "text" and isinstance(text, str):
        return step, text, None
    if kind == "image" and isinstance(path, str | None):
        return step, None, (path or "").rpartition("/")[2] or None
    raise invalid(index, f"{where} needs the type text and a content, or the type image and an image_path")

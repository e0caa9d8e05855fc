"""Turns of a conversation around pictures: `KEY.json` and `KEY.jpg`, or `KEY.json` and `KEY.0.png`, `KEY.1.jpg` …

The JSON is LLaVA's, {"conversations": [{"from": "human", "value": "<image>What is this?"}, {"from": "gpt", …}]}, or
{"messages": [{"role": "user", "content": "…"}, …]}. Further keys are passed over, `image` among them: the n-th
`<image>` of all turns is the picture of number n, counted from 0, and `KEY.jpg` is the only one there is.
"""

from __future__ import annotations

from itertools import groupby

from pipeline.errors import InputError, Reason
from pipeline.formats.fields import (
    IMAGE_FIELDS,
    NOTHING,
    SURROGATE,
    extension_of,
    invalid,
    read_json,
    split_number,
    to_json,
    too_many,
)
from pipeline.tar import Member
from pipeline.types import Rejection, Sample, Segment, SegmentKind

MARK = "<image>"
ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
SHAPES = {"conversations": ("from", "value"), "messages": ("role", "content")}
"""The list of turns by its name, with the names of a turn's role and text."""

SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
"""What a role is called in LLaVA's JSON, which to_members writes."""


class Conversations:
    """One conversation; each turn is a text, or n + 1 texts around n images, empty texts included.

    A key that ends in a dot and digits must number its picture, as its plain name would read as a numbered one.
    """

    name = "conversations"
    marks = "has turns in conversations or messages"
    optional = NOTHING
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_number(member_name)

    def wanted(self, field: str) -> bool:
        return field == "json" or extension_of(field) in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        turns: Member | None = None
        pictures: dict[str, Member] = {}
        for member in members:
            field = (self.split_name(member.name) or ("", ""))[1]
            number, _, extension = field.rpartition(".")
            if field == "json":
                if turns is not None:
                    raise invalid(member, f"{member.name} and {turns.name} are both json of {key}")
                turns = member
            elif extension in IMAGE_FIELDS:
                number = number.lstrip("0") or "0"
                other = pictures.setdefault(number, member)
                if other is not member:
                    raise invalid(member, f"{member.name} and {other.name} are both image {number} of {key}")
        if turns is None:
            raise invalid(members[0], f"{key} has no json; it has the turns", reason=Reason.FIELD_MISSING)
        said = _read_turns(turns)
        num_segments = sum(1 + 2 * value.count(MARK) for _, value in said)
        if num_segments > max_segments:
            raise too_many(turns, num_segments, max_segments)
        segments: list[Segment] = []
        errors: list[InputError] = []
        num_marks = 0
        for turn, (role, value) in enumerate(said):
            for part, text in enumerate(value.split(MARK)):
                if part:
                    segments.append(_image(pictures.get(str(num_marks)), f"{key}.{num_marks}", role, turn))
                    num_marks += 1
                if SURROGATE.search(text):
                    detail = f"turn {turn} has a lone surrogate"
                    errors.append(invalid(turns, detail, len(segments), Reason.TEXT_INVALID))
                segments.append(
                    Segment(SegmentKind.TEXT, turns.name, turns.offset, turns.size, text=text, role=role, turn=turn)
                )
        if num_marks != len(pictures):
            reason = Reason.FIELD_MISSING if num_marks > len(pictures) else Reason.FIELD_INVALID
            detail = f"{turns.name} has {num_marks} {MARK} and {key} has {len(pictures)} images; as many of each"
            errors.append(invalid(turns, detail, reason=reason))
        elif gap := [number for number in range(num_marks) if str(number) not in pictures]:
            detail = f"{key} has {num_marks} images and none of number {gap[0]}; number them from 0 without a gap"
            errors.append(invalid(turns, detail, reason=Reason.FIELD_MISSING))
        rejection = Rejection.from_error("read", errors[0]) if errors else None
        num_used = 1 + sum(segment.data is not None for segment in segments)
        return Sample(key, tuple(segments), rejection), len(members) - num_used

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        turns: list[dict[str, str]] = []
        members: list[tuple[str, bytes]] = []
        for _, said in groupby(document.segments, key=lambda segment: segment.turn):
            parts = list(said)
            value = "".join(MARK if part.kind == SegmentKind.IMAGE else part.text or "" for part in parts)
            turns.append({"from": SPEAKERS[parts[0].role or "user"], "value": value})
            for part in parts:
                if part.kind == SegmentKind.IMAGE:
                    name = f"{document.key}.{len(members)}.{extension_of(part.member)}"
                    members.append((name, part.data or b""))
        return [(f"{document.key}.json", to_json({"conversations": turns})), *members]


def _read_turns(member: Member) -> list[tuple[str, str]]:
    """(role, value) of each turn: at least one, roles that we know, and the system at most once and first."""
    index = read_json(member)
    shapes = [name for name in SHAPES if isinstance(index, dict) and index.get(name) is not None]
    if len(shapes) != 1:
        raise invalid(member, f"{member.name} must be an object with one of {', '.join(SHAPES)}")
    found = index[shapes[0]]
    if not isinstance(found, list) or not found:
        raise invalid(member, f"{shapes[0]} of {member.name} must be a list of at least one turn")
    turns: list[tuple[str, str]] = []
    role_name, value_name = SHAPES[shapes[0]]
    for place, turn in enumerate(found):
        speaker, value = (turn.get(role_name), turn.get(value_name)) if isinstance(turn, dict) else (None, None)
        if not isinstance(speaker, str) or not isinstance(value, str):
            raise invalid(member, f"turn {place} of {member.name} needs two texts, {role_name} and {value_name}")
        role = ROLES.get(speaker)
        if role is None:
            raise invalid(member, f"turn {place} of {member.name} is from {speaker!r}; one of {', '.join(ROLES)}")
        if role == "system" and place:
            raise invalid(member, f"turn {place} of {member.name} is the system's, which speaks once and first")
        turns.append((role, value))
    return turns


def _image(picture: Member | None, name: str, role: str, turn: int) -> Segment:
    if picture is None:
        return Segment(SegmentKind.IMAGE, name, 0, 0, role=role, turn=turn)
    place = (picture.name, picture.offset, picture.size)
    return Segment(SegmentKind.IMAGE, *place, data=picture.data, role=role, turn=turn)

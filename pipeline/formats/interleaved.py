"""Texts and pictures in reading order: `KEY.json` says the order, `KEY.0.png`, `KEY.1.jpg` … are the pictures.

The JSON is {"texts": [str | null], "images": ["0.png" | null]}, two lists of one length; at each place exactly one
of them is not null (the OBELICS layout). Further keys are passed over.
"""

from __future__ import annotations

from typing import Any

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


class Interleaved:
    """One document of any number of texts and images; an image member's field has its number before the extension."""

    name = "interleaved"
    marks = "has the lists texts and images"
    optional = NOTHING
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_number(member_name)

    def wanted(self, field: str) -> bool:
        return field == "json" or _is_image(field)

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        fields: dict[str, Member] = {}
        for member in members:
            field = (self.split_name(member.name) or ("", ""))[1]
            if fields.setdefault(field, member) is not member and self.wanted(field):
                raise invalid(member, f"{member.name} and {fields[field].name} are both {field} of {key}")
        if "json" not in fields:
            detail = f"{key} has no json; it says the order of texts and images"
            raise invalid(members[0], detail, reason=Reason.FIELD_MISSING)
        index = fields["json"]
        texts, images = _read_index(index)
        if len(texts) > max_segments:
            raise too_many(index, len(texts), max_segments)
        unused = {field: member for field, member in fields.items() if _is_image(field)}
        segments: list[Segment] = []
        errors: list[InputError] = []
        for place, (text, image) in enumerate(zip(texts, images, strict=True)):
            if text is not None:
                if SURROGATE.search(text):
                    errors.append(invalid(index, f"text {place} has a lone surrogate", place, Reason.TEXT_INVALID))
                segments.append(Segment(SegmentKind.TEXT, index.name, index.offset, index.size, text=text))
                continue
            # Each picture once: a list that names one picture a million times would fill the memory.
            name: str = image.lower()
            picture = unused.pop(name, None)
            if picture is None:
                is_repeated = name in fields and _is_image(name)
                reason = Reason.FIELD_INVALID if is_repeated else Reason.FIELD_MISSING
                what = "is named twice" if is_repeated else "is not there"
                errors.append(invalid(index, f"image {place}, {key}.{image}, {what}", place, reason))
                segments.append(Segment(SegmentKind.IMAGE, f"{key}.{image}", 0, 0))
            else:
                segments.append(
                    Segment(SegmentKind.IMAGE, picture.name, picture.offset, picture.size, data=picture.data)
                )
        rejection = Rejection.from_error("read", errors[0]) if errors else None
        num_used = 1 + sum(segment.data is not None for segment in segments)
        return Sample(key, tuple(segments), rejection), len(members) - num_used

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        images: list[str | None] = []
        members: list[tuple[str, bytes]] = []
        for segment in document.segments:
            is_image = segment.kind == SegmentKind.IMAGE
            images.append(f"{len(members)}.{extension_of(segment.member)}" if is_image else None)
            if is_image:
                members.append((f"{document.key}.{images[-1]}", segment.data or b""))
        index = to_json({"texts": [segment.text for segment in document.segments], "images": images})
        return [(f"{document.key}.json", index), *members]


def _read_index(member: Member) -> tuple[list[str | None], list[Any]]:
    """Texts and images of the JSON, checked: equal lengths, at least one place, one string at each."""
    index = read_json(member)
    if not isinstance(index, dict):
        raise invalid(member, f"{member.name} holds no object with texts and images")
    texts, images = index.get("texts"), index.get("images")
    if not isinstance(texts, list) or not isinstance(images, list):
        raise invalid(member, f"{member.name} must have two lists, texts and images")
    if len(texts) != len(images) or not texts:
        raise invalid(
            member, f"{member.name} has {len(texts)} texts and {len(images)} images; as many of each, at least one"
        )
    for place, entry in enumerate(zip(texts, images, strict=True)):
        if [type(value) for value in entry if value is not None] != [str]:
            raise invalid(member, f"place {place} of {member.name} needs a text or an image, and not both", place)
    return texts, images


def _is_image(field: str) -> bool:
    return field.rpartition(".")[2] in IMAGE_FIELDS

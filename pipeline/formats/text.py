"""A text without pictures: `KEY.txt`, or `KEY.json` {"text": "…"} where there is no txt.

A sample that has a picture is rejected: read so, it would lose it without a word.
"""

from __future__ import annotations

from pipeline.formats.draft import Draft
from pipeline.formats.fields import IMAGE_FIELDS, invalid, split_extension
from pipeline.formats.words import WORDS, find_words
from pipeline.tar import Member
from pipeline.types import Sample


class Text:
    """One UTF-8 text a sample."""

    name = "text"
    marks = "has a text"
    optional = frozenset({"json"})
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_extension(member_name)

    def wanted(self, field: str) -> bool:
        return field in WORDS or field in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:  # noqa: ARG002 - one
        fields = [(split[1], member) for member in members if (split := self.split_name(member.name))]
        for field, member in fields:
            if field in IMAGE_FIELDS:
                raise invalid(member, f"{member.name} is a picture, and text has none; choose a format with pictures")
        member, text = find_words(key, fields, "text")
        draft = Draft(key)
        draft.add_text(member, text, member.name)
        return draft.finish(len(members))

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        (segment,) = document.segments
        return [(f"{document.key}.txt", (segment.text or "").encode())]

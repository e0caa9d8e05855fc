"""A sequence of frames and the text that tells of it: `KEY.000.jpg`, `KEY.001.jpg` … and `KEY.txt` or `KEY.json`.

The frames are counted from 0 or from 1 without a gap, with or without zeros before; the JSON is {"caption": "…"} and
counts where there is no txt. They become images in their order, and then the text: each is sliced and budgeted as a
picture of its own, none as a frame of a video, whose tokens a family counts otherwise.
"""

from __future__ import annotations

from pipeline.errors import Reason
from pipeline.formats.draft import Draft, number_of
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, invalid, split_number, too_many
from pipeline.formats.words import WORDS, find_words
from pipeline.tar import Member
from pipeline.types import Sample, SegmentKind


class Frames:
    """One document of at least one image and one text."""

    name = "frames"
    marks = "has a caption"
    optional = frozenset({"json"})
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_number(member_name)

    def wanted(self, field: str) -> bool:
        return field in WORDS or extension_of(field) in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        fields = [(split[1], member) for member in members if (split := self.split_name(member.name))]
        frames: dict[int, Member] = {}
        for field, member in fields:
            if extension_of(field) not in IMAGE_FIELDS:
                continue
            number = number_of(field)
            if number is None:
                raise invalid(member, f"{member.name} has no number among the frames of {key}")
            if frames.setdefault(int(number), member) is not member:
                raise invalid(member, f"{member.name} and {frames[int(number)].name} are both frame {number} of {key}")
        if not frames:
            raise invalid(members[0], f"{key} has no frames, such as {key}.000.jpg", reason=Reason.FIELD_MISSING)
        if len(frames) >= max_segments:
            raise too_many(members[0], len(frames) + 1, max_segments)
        member, text = find_words(key, fields, "caption")
        draft = Draft(key)
        first = min(1, *frames)
        for place in range(len(frames)):
            draft.add_picture(frames.get(first + place), f"{first + place:03d}", member)
        draft.add_text(member, text, member.name)
        return draft.finish(len(members))

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        *frames, text = document.segments
        assert text.kind == SegmentKind.TEXT, "the text stands last"
        names = [f"{document.key}.{place:03d}.{extension_of(frame.member)}" for place, frame in enumerate(frames)]
        pictures = [(name, frame.data or b"") for name, frame in zip(names, frames, strict=True)]
        return [*pictures, (f"{document.key}.txt", (text.text or "").encode())]

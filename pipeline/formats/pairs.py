"""One picture and its text, as img2dataset and Energon's captioning have them: they become (image, text).

`KEY.jpg` (or png, webp, …) with `KEY.txt`, or with `KEY.json` {"caption": "…"}. Where there is a txt it is the text
and the JSON, in which img2dataset keeps what it knows of the download, is passed over unread.
"""

from __future__ import annotations

from pipeline.errors import InputError, Reason
from pipeline.formats.draft import Draft
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, split_extension
from pipeline.formats.words import WORDS, find_words
from pipeline.tar import Member
from pipeline.types import Sample, SegmentKind


class Pairs:
    """Exactly one image and one UTF-8 text a sample; other members are passed over."""

    name = "pairs"
    marks = "has a caption"
    optional = frozenset({"json"})
    json_has_pictures = False

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_extension(member_name)

    def wanted(self, field: str) -> bool:
        return field in WORDS or field in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:  # noqa: ARG002 - two
        fields = [(split[1], member) for member in members if (split := self.split_name(member.name))]
        images = [member for field, member in fields if field in IMAGE_FIELDS]
        if len(images) != 1:
            # Of none the sample's first member says where, of many the second.
            place = images[1] if images else members[0]
            reason = Reason.FIELD_INVALID if images else Reason.FIELD_MISSING
            detail = f"{key} has {len(images) or 'no'} members for its image; a pair needs one image and one text"
            raise InputError(reason, detail, member=place.name, offset=place.offset, size=place.size)
        member, text = find_words(key, fields, "caption")
        draft = Draft(key)
        draft.add_picture(images[0], "the image", member)
        draft.add_text(member, text, member.name)
        return draft.finish(len(members))

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        members = []
        for segment in document.segments:
            if segment.kind == SegmentKind.TEXT:
                members.append((f"{document.key}.txt", (segment.text or "").encode()))
            else:
                members.append((f"{document.key}.{extension_of(segment.member)}", segment.data or b""))
        return members

"""One picture and its text: `KEY.jpg` (or another image) and `KEY.txt` become (image, text)."""

from __future__ import annotations

from pipeline.errors import InputError, Reason
from pipeline.formats.fields import IMAGE_FIELDS, split_extension
from pipeline.tar import Member
from pipeline.types import Rejection, Sample, Segment, SegmentKind


class Pairs:
    """Exactly one image and one UTF-8 text a sample; other members are passed over."""

    name = "pairs"

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_extension(member_name)

    def wanted(self, field: str) -> bool:
        return field == "txt" or field in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:  # noqa: ARG002 - two
        fields = [(split[1], member) for member in members if (split := self.split_name(member.name))]
        image = _only([member for field, member in fields if field in IMAGE_FIELDS], "image", key, members[0])
        text = _only([member for field, member in fields if field == "txt"], "text (txt)", key, members[0])
        data = text.data or b""
        caption, rejection = None, None
        try:
            caption = data.decode("utf-8")
        except UnicodeDecodeError as error:
            detail = f"{text.name} is not UTF-8 from its byte {error.start} on"
            place = InputError(
                Reason.TEXT_INVALID, detail, member=text.name, offset=text.offset, size=text.size, segment=1
            )
            rejection = Rejection.from_error("read", place)
        segments = (
            Segment(SegmentKind.IMAGE, image.name, image.offset, image.size, data=image.data),
            Segment(SegmentKind.TEXT, text.name, text.offset, text.size, text=caption),
        )
        return Sample(key, segments, rejection), len(members) - len(segments)


def _only(found: list[Member], what: str, key: str, first: Member) -> Member:
    """The one member found; the error of none says where the sample begins, that of many where the second is."""
    if len(found) == 1:
        return found[0]
    place = found[1] if found else first
    reason = Reason.FIELD_INVALID if found else Reason.FIELD_MISSING
    detail = f"{key} has {len(found) or 'no'} members for its {what}; a pair needs one image and one txt"
    raise InputError(reason, detail, member=place.name, offset=place.offset, size=place.size)

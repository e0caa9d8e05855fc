"""One document as it is put together from its members: segments in reading order, and the first thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.errors import InputError, Reason
from pipeline.formats.fields import IMAGE_FIELDS, SURROGATE, extension_of, invalid
from pipeline.tar import Member
from pipeline.types import Rejection, Sample, Segment, SegmentKind


class Draft:
    """What is bad about a segment is kept and the segment too, so that a rejection has the places of all of them."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._segments: list[Segment] = []
        self._error: InputError | None = None

    def add_text(self, member: Member, text: str | None, what: str, turn: int = 0) -> None:
        """what: names the text in an error. None: the member's own bytes are not UTF-8."""
        if text is None or SURROGATE.search(text):
            fault = "is not UTF-8" if text is None else "has a lone surrogate"
            self.fail(invalid(member, f"{what} {fault}", len(self._segments), Reason.TEXT_INVALID))
        self._segments.append(Segment(SegmentKind.TEXT, member.name, member.offset, member.size, text=text, turn=turn))

    def add_picture(
        self, picture: Member | None, name: str, index: Member, turn: int = 0, similarity: float | None = None
    ) -> None:
        """None: the sample has none of that name, which the member `index` asks for."""
        if picture is None:
            detail = f"image {self._key}.{name} is not there, or has a place already"
            self.fail(invalid(index, detail, len(self._segments), Reason.FIELD_MISSING))
            self._segments.append(Segment(SegmentKind.IMAGE, f"{self._key}.{name}", 0, 0, turn=turn))
            return
        place = (picture.name, picture.offset, picture.size)
        self._segments.append(Segment(SegmentKind.IMAGE, *place, data=picture.data, turn=turn, similarity=similarity))

    def add(self, segment: Segment) -> None:
        self._segments.append(segment)

    def fail(self, error: InputError) -> None:
        """Keeps the first."""
        self._error = self._error or error

    def finish(self, num_members: int) -> tuple[Sample, int]:
        """The document and how many of its members it has no use for: all but the text and the pictures."""
        rejection = None if self._error is None else Rejection.from_error("read", self._error)
        num_used = 1 + sum(one.data is not None and one.encoding is None for one in self._segments)
        return Sample(self._key, tuple(self._segments), rejection), num_members - num_used


class Pictures:
    """The pictures of a sample, each for one place: a list that names one a million times would fill the memory."""

    def __init__(self, key: str, members: Iterable[Member], split: Callable[[str], tuple[str, str] | None]) -> None:
        """InputError where two have one name but for capitals, or one number."""
        self._base = key.rpartition("/")[2].lower()
        self._left: dict[str, Member] = {}
        self._numbered: dict[str, str] = {}
        for member in members:
            field = (split(member.name) or ("", ""))[1]
            if extension_of(field) not in IMAGE_FIELDS:
                continue
            other = self._left.setdefault(field, member)
            number = number_of(field)
            if number is not None and other is member:
                other = self._left[self._numbered.setdefault(number, field)]
            if other is not member:
                raise invalid(member, f"{member.name} and {other.name} are both one image of {key}")

    def take(self, number: int, name: str | None = None) -> Member | None:
        """The picture of that name in its sample, or else of that number, counted from 0, if nobody took it before."""
        field = (name or "").lower().rpartition("/")[2]
        for known in (field, field.removeprefix(f"{self._base}."), self._numbered.get(str(number), "")):
            if known in self._left:
                return self._left.pop(known)
        return None


def number_of(field: str) -> str | None:
    """The number of a picture by its field, without zeros before it; None if it has no number."""
    number, _, extension = field.rpartition(".")
    is_number = number.isascii() and number.isdigit() and extension in IMAGE_FIELDS
    return (number.lstrip("0") or "0") if is_number else None


def only_json(key: str, members: Iterable[Member], split: Callable[[str], tuple[str, str] | None], what: str) -> Member:
    """The one JSON of a sample; what: for an error, what it has. InputError if there is none, or another."""
    found: Member | None = None
    first: Member | None = None
    for member in members:
        first = first or member
        if (split(member.name) or ("", ""))[1] == "json":
            if found is not None:
                raise invalid(member, f"{member.name} and {found.name} are both json of {key}")
            found = member
    if found is None:
        assert first is not None, "a sample has a member"
        raise invalid(first, f"{key} has no json; it has {what}", reason=Reason.FIELD_MISSING)
    return found

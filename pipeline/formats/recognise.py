"""Which format a shard has, by what its first samples become under each, and why: in one line, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import RawIOBase
from typing import BinaryIO, cast

from pipeline.containers import container_of
from pipeline.formats import IN_ORDER, Format
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, split_number
from pipeline.formats.text import Text
from pipeline.formats.words import WORDS
from pipeline.read import first_members, samples_of
from pipeline.tar import Member
from pipeline.types import ReadLimits, Sample, SegmentKind

NUM_SAMPLES = 16
MAX_BYTES = 64 << 20
"""Of a shard that are looked at, at most; sixteen documents have about one megabyte, those of many photographs ten."""
MAX_TEXT_BYTES = 16 << 20
"""Of one JSON or txt; a longer one is not read."""
SHOWN = 5
HEAD_LIMITS = ReadLimits(MAX_TEXT_BYTES, MAX_TEXT_BYTES, MAX_BYTES, 10_000)
NO_LIMITS = ReadLimits(1 << 62, 1 << 62, 1 << 62, 10_000)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a shard looks like. why: as it follows the shard's name."""

    format: str
    why: str
    num_samples: int
    """That were looked at."""
    num_documents: int
    """That they gave."""


def look(stream: BinaryIO, size: int | None, shard_name: str) -> list[Member]:
    """The members of the first samples of a shard, without the bytes of pictures, which decide nothing.

    A Parquet file is not cut off, as it is read from its end.
    """
    is_cut = container_of(shard_name).members_are_ranges
    members = first_members(
        cast("BinaryIO", _Head(stream)) if is_cut else stream,
        None if is_cut else size,
        shard_name=shard_name,
        format=_Names(),
        limits=HEAD_LIMITS,
        num_samples=NUM_SAMPLES,
    )
    is_picture = (extension_of(member.name) in IMAGE_FIELDS for member in members)
    return [
        replace(member, data=b"", too_large=False) if blank else member
        for member, blank in zip(members, is_picture, strict=True)
    ]


def num_documents(members: Sequence[Member], form: Format) -> int:
    """How many of the samples are a document in that format."""
    return sum(sample.rejection is None for sample in samples_of(members, form, NO_LIMITS))


def recognise(members: Sequence[Member]) -> Recognised | None:
    """The format under which most of the samples are documents; None if no format makes one of any."""
    best: Recognised | None = None
    for form in IN_ORDER:
        samples = list(samples_of(members, form, NO_LIMITS))
        sound = [sample for sample in samples if sample.rejection is None]
        if sound and (best is None or len(sound) > best.num_documents):
            verb = "begins with" if sound[0] is samples[0] else "has"
            best = Recognised(form.name, f"{verb} {_evidence(sound[0], form)}", len(samples), len(sound))
    return best


def names_of(members: Iterable[Member]) -> str:
    """The first few names, for an error."""
    names = [member.name for member in members]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "no member"


def _evidence(sample: Sample, form: Format) -> str:
    """The text member of a document, what is in it, and its first picture."""
    texts = [segment.member for segment in sample.segments if segment.kind == SegmentKind.TEXT]
    pictures = [segment for segment in sample.segments if segment.kind == SegmentKind.IMAGE]
    index = texts[0] if texts else f"{sample.key}.json"
    is_json = extension_of(index) == "json"
    words = f"{index}, which {form.marks}" if is_json else index
    if not pictures:
        return words
    picture = "pictures in it" if pictures[0].encoding else pictures[0].member
    return f"{words}{',' if is_json else ''} and {picture}"


class _Names(Text):
    """Keys as most formats have them; of a sample only what is text is read."""

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_number(member_name)

    def wanted(self, field: str) -> bool:
        return field in WORDS


class _Head(RawIOBase):
    """The first bytes of a stream, as if it ended there: junk of any length is not searched for a header."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream, self._left = stream, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

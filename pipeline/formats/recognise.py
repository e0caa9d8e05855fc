"""Which format a shard has, by what its first samples become under each, and why: in one line, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from pipeline.formats import IN_ORDER, Format
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, join_keys, split_number
from pipeline.read import samples_of
from pipeline.tar import Damage, Member, scan_tar
from pipeline.tar_stream import HashingReader
from pipeline.types import ReadLimits, Sample, SegmentKind

NUM_SAMPLES = 16
MAX_BYTES = 64 << 20
"""Of a shard that are looked at, at most; sixteen documents have about one megabyte, those of many photographs ten."""
MAX_TEXT_BYTES = 16 << 20
"""Of one JSON or txt; a longer one is not read."""
MAX_MEMBERS = 10_000
SHOWN = 5
NO_LIMITS = ReadLimits(1 << 62, 1 << 62, 1 << 62, 10_000)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a shard looks like. why: as it follows the format's name and a colon."""

    format: str
    why: str
    num_samples: int
    """That were looked at."""
    num_documents: int
    """That they gave."""


def first_members(stream: BinaryIO, size: int | None) -> list[Member]:
    """The members of the first samples of a shard, without the bytes of pictures, which decide nothing."""
    found: list[Member] = []
    for item in scan_tar(
        HashingReader(stream),
        size=size,
        max_member_bytes=MAX_TEXT_BYTES,
        wanted=lambda name, _: extension_of(name) in {"json", "txt"},
    ):
        if not isinstance(item, Damage):
            is_picture = extension_of(item.name) in IMAGE_FIELDS
            found.append(replace(item, data=b"", too_large=False) if is_picture else item)
        if item.offset >= MAX_BYTES or len(found) >= MAX_MEMBERS:
            break
        if len(found) % 64 == 0 and len(_starts(found)) > NUM_SAMPLES:
            break
    starts = _starts(found)
    return found[: starts[NUM_SAMPLES]] if len(starts) > NUM_SAMPLES else found


def num_documents(members: Sequence[Member], form: Format) -> int:
    """How many of the samples are a document in that format."""
    return sum(sample.rejection is None for sample in samples_of(members, form, NO_LIMITS))


def recognise(shard_name: str, members: Sequence[Member]) -> Recognised | None:
    """The format under which most of the samples are documents; None if no format makes one of any."""
    best: Recognised | None = None
    for form in IN_ORDER:
        samples = list(samples_of(members, form, NO_LIMITS))
        sound = [sample for sample in samples if sample.rejection is None]
        if sound and (best is None or len(sound) > best.num_documents):
            verb = "begins with" if sound[0] is samples[0] else "has"
            best = Recognised(form.name, f"{shard_name} {verb} {_evidence(sound[0], form)}", len(samples), len(sound))
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


def _starts(members: Sequence[Member]) -> list[int]:
    """The places where a sample begins, by names alone."""
    starts: list[int] = []
    key: str | None = None
    for place, member in enumerate(members):
        split = split_number(member.name)
        if split is None:
            continue
        joined = None if key is None else join_keys(key, split[0])
        if joined is None:
            starts.append(place)
        key = joined or split[0]
    return starts

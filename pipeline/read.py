"""A shard becomes rows in one pass: a row per sample, a row per damage, and one last row that sums them up.

What the shard is a file of, pipeline.containers knows; it gives the members of each sample. Whatever is damaged, has no
key or breaks a rule is a row too, rejected with its place, so that rows are what the shard holds and nothing leaves
without a word.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.columns import table_from_rows
from pipeline.containers import container_of
from pipeline.containers.groups import Group, fits, split_name, to_utf8
from pipeline.copies import num_copies
from pipeline.errors import InputError, Reason, StorageError
from pipeline.formats import Format
from pipeline.formats.carried import text_bytes
from pipeline.formats.fields import UNSAFE_FIELDS, join_keys, split_extension
from pipeline.schema import READ
from pipeline.tar import Member
from pipeline.tar_stream import HashingReader
from pipeline.types import DETAIL_CHARS, ReadLimits, Rejection, Sample, SegmentKind

READ_VERSION = 3
"""Raised whenever the same shard gives other rows: it is part of the recipe."""
NO_DATA = ReadLimits(0, 0, 0, 0)
"""Limits under which nothing is kept: a shard has as many samples, of the same keys, under any."""
PLACES = ReadLimits(0, 0, 0, 1 << 62)
"""Limits under which every member's place is kept, and no data."""
WHOLE = ReadLimits(1 << 62, 1 << 62, 1 << 62, 1 << 62)
"""Limits under which every member that the format asks for has its data."""


def read_shard(
    stream: BinaryIO,
    size: int | None,
    *,
    shard_name: str,
    unit: int,
    shard_number: int,
    format: Format,  # noqa: A002
    limits: ReadLimits,
    take: int | None,
    weight: float = 1.0,
    batch_rows: int = 64,
    batch_bytes: int = 16 << 20,
) -> Iterator[pa.Table]:
    """Tables in schema READ whose rows, put together, depend on the shard's bytes alone.

    size: bytes of the stream where known. take: samples from that ordinal on are withheld, whatever else they are;
    so are those of which the source's `weight` leaves no copy.
    Rejected and withheld rows have no texts and payloads; they keep their segments where the format knows them.
    A table ends after `batch_rows` rows, or when its texts and payloads reach `batch_bytes`; only one sample may
    go over. Raises StorageError if the stream had not `size` bytes.
    """
    container = container_of(shard_name)
    reader = HashingReader(stream)
    place = {"unit": unit, "shard": shard_name, "shard_number": shard_number}
    rows: list[dict[str, Any]] = []
    ordinal, num_ignored, num_bytes = 0, 0, 0
    for item in container.read(reader, size, format, limits):
        sample, ignored = (item, 0) if isinstance(item, Sample) else _to_sample(item, format, limits)
        is_withheld = (take is not None and ordinal >= take) or not num_copies(shard_name, ordinal, weight)
        row, row_bytes = _to_row(sample, container.encoding, is_withheld=is_withheld)
        rows.append(place | {"ordinal": ordinal, "shard_end": None} | row)
        ordinal += 1
        num_ignored += ignored
        num_bytes += row_bytes
        if len(rows) >= batch_rows or num_bytes >= batch_bytes:
            yield table_from_rows(rows, READ)
            rows, num_bytes = [], 0
    if size is not None and reader.offset != size:
        raise StorageError(
            f"{shard_name} gave {reader.offset} bytes of {size}; the read was cut or the file changed; run again"
        )
    end = {"rows": ordinal, "sha256": reader.sha256(), "bytes": reader.offset, "ignored": num_ignored}
    row, _ = _to_row(Sample(""), None, is_withheld=False)
    rows.append(place | {"ordinal": ordinal, "shard_end": end} | row)
    yield table_from_rows(rows, READ)


def count_samples(stream: BinaryIO, size: int | None, *, shard_name: str, format: Format) -> int:  # noqa: A002
    """The rows that read_shard would give, its last not counted, without keeping a member's data."""
    return sum(1 for _ in container_of(shard_name).read(HashingReader(stream), size, format, NO_DATA))


@dataclass(frozen=True, slots=True)
class Located:
    """A row of read_shard and the members that it was made of, by their places; none where it is damage."""

    ordinal: int
    key: str
    members: tuple[Member, ...]


def locate_members(
    stream: BinaryIO,
    size: int | None,
    *,
    shard_name: str,
    format: Format,  # noqa: A002
    ordinals: Container[int],
    limits: ReadLimits = PLACES,
) -> Generator[Located, None, str]:
    """The rows that read_shard would give with these ordinals; returns the sha256 of the shard. No member is read,
    unless `limits` let it.
    """
    reader = HashingReader(stream)
    for ordinal, item in enumerate(container_of(shard_name).read(reader, size, format, limits)):
        if ordinal in ordinals:
            members = () if isinstance(item, Sample) else tuple(item.members)
            yield Located(ordinal, item.key, members)
    return reader.sha256()


def first_members(
    stream: BinaryIO,
    size: int | None,
    *,
    shard_name: str,
    format: Format,  # noqa: A002
    limits: ReadLimits,
    num_samples: int,
) -> list[Member]:
    """The members of the first samples of a shard, at most so many, with the data that the format asks for."""
    found: list[Member] = []
    for item in container_of(shard_name).read(HashingReader(stream), size, format, limits):
        if isinstance(item, Sample):
            continue
        found += item.members
        num_samples -= 1
        if not num_samples:
            break
    return found


def samples_of(members: Iterable[Member], form: Format, limits: ReadLimits) -> Iterator[Sample]:
    """The documents, and rejections, that read_shard would make of these members in this order, were they all."""
    group: Group | None = None
    for member in members:
        split = split_name(member.name, form)
        if split is None:
            continue
        key = None if group is None else join_keys(group.key, split[0])
        if group is None or key is None:
            if group is not None:
                yield _to_sample(group, form, limits)[0]
            group = Group(split[0])
        else:
            group.key = key
        group.add(member, member.size if fits(split[1], member.size, form, limits) else 0, limits)
    if group is not None:
        yield _to_sample(group, form, limits)[0]


def _to_sample(group: Group, form: Format, limits: ReadLimits) -> tuple[Sample, int]:
    """The document of a group, or its rejection, and the number of members it has no use for."""
    try:
        _check(group, form, limits)
        content = [member for member in group.members if _own(member, form)[0] == group.key]
        sample, ignored = form.to_sample(group.key, content, limits.sample_members)
        ignored += len(group.members) - len(content)
    except InputError as error:
        sample, ignored = Sample(group.key, (), Rejection.from_error("read", error)), 0
    why = sample.rejection
    if group.hint and why is not None and why.reason == Reason.FIELD_MISSING:
        sample = replace(sample, rejection=replace(why, detail=group.hint[:DETAIL_CHARS]))
    return sample, ignored


def _check(group: Group, form: Format, limits: ReadLimits) -> None:
    """Raises InputError for what no format may accept."""
    if group.is_split:
        raise _error(Reason.SAMPLE_SPLIT, group.members[0], f"{group.key} ended before in this shard; keep it together")
    if group.is_over:
        detail = f"{group.key:.80} has {group.num_members} members and {group.num_bytes} bytes to read; see limits"
        raise _error(Reason.SAMPLE_TOO_LARGE, group.members[0], detail)
    names: set[str] = set()
    for member in group.members:
        if member.name in names:
            raise _error(Reason.NAME_DUPLICATE, member, f"{member.name} is there twice")
        names.add(member.name)
        if (split_extension(member.name) or ("", ""))[1] in UNSAFE_FIELDS:
            raise _error(Reason.UNSAFE_TYPE, member, f"{member.name} can run code when loaded; it was not read")
    for member in group.members:
        key, last = _own(member, form)
        if not form.wanted(last) or last in form.optional:
            continue
        if key != group.key:
            detail = (
                f"{member.name} stands with {group.key}, which has no place for it; keep samples of such keys apart"
            )
            raise _error(Reason.FIELD_INVALID, member, detail)
        if member.too_large:
            raise _error(Reason.MEMBER_TOO_LARGE, member, f"{member.name} has {member.size} bytes; see limits")
        has_pictures = form.json_has_pictures and last == "json"
        num_bytes = text_bytes(member.data or b"") if has_pictures else member.size
        if not fits(last, member.size, form, limits) or (has_pictures and num_bytes > limits.text_bytes):
            raise _error(Reason.TEXT_TOO_LARGE, member, f"{member.name} has {num_bytes} bytes of text; see limits")


def _own(member: Member, form: Format) -> tuple[str, str]:
    """Key and field of a group's member by itself."""
    return form.split_name(member.name) or ("", "")


def _error(reason: Reason, member: Member, detail: str) -> InputError:
    return InputError(reason, detail, member=member.name, offset=member.offset, size=member.size)


def _to_row(sample: Sample, encoding: str | None, *, is_withheld: bool) -> tuple[dict[str, Any], int]:
    """The columns that come from the sample, and the bytes of its texts and payloads.

    encoding: of the pictures of which the format says none.
    """
    is_bare = is_withheld or sample.rejection is not None
    texts = [None if is_bare else segment.text for segment in sample.segments]
    images = [] if is_bare else [segment for segment in sample.segments if segment.kind == SegmentKind.IMAGE]
    payloads = [image.data for image in images]
    segments = [
        {
            "number": number,
            "kind": int(segment.kind),
            "text": text,
            "member": to_utf8(segment.member),
            "offset": segment.offset,
            "size": segment.size,
            "encoding": segment.encoding or (encoding if segment.kind == SegmentKind.IMAGE else None),
            "role": segment.role,
            "turn": segment.turn,
            "similarity": segment.similarity,
        }
        for number, (segment, text) in enumerate(zip(sample.segments, texts, strict=True))
    ]
    rejection = None if is_withheld or sample.rejection is None else sample.rejection.to_row()
    columns = {
        "key": sample.key,
        "segments": segments,
        "dropped": [],
        "num_derived": 0,
        "withheld": is_withheld,
        "rejection": rejection,
        "payloads": payloads,
    }
    return columns, sum(len(value) for value in [*texts, *payloads] if value is not None)

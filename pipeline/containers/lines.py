"""JSON lines: each line is one sample, `KEY.json`, whose key is its number in the file from 0, as eight digits.

A line of nothing but white space is passed over and is no sample, but it has its number: key 00000041 is the 42nd line
of the file whatever stands before it. The last line may end without a line break, and a line may end in CR LF.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from pipeline.containers.groups import KEY_DIGITS, Group, fits
from pipeline.formats import Format
from pipeline.tar import Member
from pipeline.tar_stream import CHUNK_BYTES, HashingReader
from pipeline.types import ReadLimits, Sample

FIELD = "json"


def read_lines(
    reader: HashingReader,
    size: int | None,  # noqa: ARG001 - a line claims no size that could be false
    form: Format,
    limits: ReadLimits,
) -> Iterator[Group | Sample]:
    """Its groups, as `Groups` says. No byte of such a file is damage: a line that is no JSON is a bad sample."""
    number, offset, length = 0, 0, 0
    kept = io.BytesIO()
    is_blank = True
    while chunk := reader.read(CHUNK_BYTES):
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            piece = chunk[start : end if end >= 0 else None]
            is_blank = is_blank and not piece.strip()
            length += len(piece)
            # Of a line that is too long nothing is kept, however much more of it follows.
            if _is_kept(length, form, limits):
                kept.write(piece)
            else:
                kept = io.BytesIO()
            if end < 0:
                break
            if not is_blank:
                yield _to_group(number, offset, length, kept.getvalue(), form, limits)
            number, offset, start = number + 1, offset + length + 1, end + 1
            length, kept, is_blank = 0, io.BytesIO(), True
    if not is_blank:
        yield _to_group(number, offset, length, kept.getvalue(), form, limits)


def _is_kept(size: int, form: Format, limits: ReadLimits) -> bool:
    return fits(FIELD, size, form, limits) and size <= limits.sample_bytes


def _to_group(number: int, offset: int, size: int, kept: bytes, form: Format, limits: ReadLimits) -> Group:
    group = Group(f"{number:0{KEY_DIGITS}}")
    data = kept if _is_kept(size, form, limits) else None
    member = Member(f"{group.key}.{FIELD}", offset, size, data, size > limits.member_bytes)
    group.add(member, size if fits(FIELD, size, form, limits) else 0, limits)
    return group

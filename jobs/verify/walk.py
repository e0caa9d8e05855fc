"""Walks the 512-byte blocks of a shard: every file in it, and every span that gives none.

Written apart from the reader of the build, to the same rules: a block is a header if its sum is right; where one
must stand and none does, the walk goes on at the next block with sum and magic; one zero block alone is a lost
header, two or more are an end mark, after which another archive may follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import BinaryIO

from jobs.verify.headers import BLOCK, Header, LongForm, header_of, hides_long_form, round_up

ZERO = bytes(BLOCK)
CHUNK_BYTES = 1 << 20
MAX_LONG_FORM_BYTES = 1 << 20
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
NO_LONG_FORM = LongForm()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its first data byte and, if it was wanted, its data. Without a name: damage."""

    name: str | None
    offset: int
    size: int
    data: bytes | None = field(default=None, repr=False)


class Outcome(Enum):
    """Why a header is followed by no file."""

    FOLDER = auto()
    LOST = auto()
    """A link, a device, or an entry whose name or size was damaged."""
    CUT = auto()
    """The shard ends inside it."""


class Source:
    """A shard read once, forward: its place and, at the end, its sha256."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.offset = 0

    def read(self, size: int) -> bytes:
        """`size` bytes or all that are left."""
        return b"".join(self._chunks(size))

    def skip(self, size: int) -> int:
        """Passes `size` bytes in constant memory; how many there were."""
        return sum(map(len, self._chunks(size)))

    @contextmanager
    def again(self) -> Iterator[BinaryIO]:
        """The stream itself from its start, to be read in any order once all of it is known."""
        self._stream.seek(0)
        yield self._stream
        self._stream.seek(self.offset)

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def _chunks(self, size: int) -> Iterator[bytes]:
        while size and (data := self._stream.read(min(size, CHUNK_BYTES))):
            self._hash.update(data)
            self.offset += len(data)
            size -= len(data)
            yield data


def walk(source: Source, wanted: Callable[[str, int], bool]) -> Iterator[Entry]:
    """Files and damages in the order of their bytes, to the end of the shard."""
    told = 0
    """Everything before this byte has been yielded or is structure."""
    long = NO_LONG_FORM
    zeros = 0
    block = source.read(BLOCK)
    if block.startswith(COMPRESSED) and header_of(block) is None:
        while source.skip(CHUNK_BYTES):
            pass
        yield Entry(None, 0, source.offset)
        return
    while len(block) == BLOCK:
        if block == ZERO and long == NO_LONG_FORM:
            zeros += 1
            block = source.read(BLOCK)
            continue
        if zeros > 1:
            told = source.offset - BLOCK
        header = header_of(block)
        if header is None or zeros == 1:
            block, zeros, is_name_lost = _find_header(source, block, zeros)
            long = LongForm(is_lost=is_name_lost)
            if not is_name_lost:
                end = source.offset - len(block) - zeros * BLOCK
                yield Entry(None, told, end - told)
                told = end
            continue
        zeros = 0
        if header.is_long_form:
            if header.size > MAX_LONG_FORM_BYTES:
                source.skip(round_up(header.size))
                long = replace(long, is_lost=True)
            else:
                data = source.read(round_up(header.size))
                if len(data) < header.size:
                    block = b""
                    break
                long = long.extended(header.kind, data[: header.size])
            told = source.offset if long == NO_LONG_FORM else told
        else:
            if header.kind == b"S":
                _skip_sparse_map(source, block)
            entry = _read_file(source, long.applied(header), wanted)
            if isinstance(entry, Entry):
                yield entry
            elif entry is not Outcome.FOLDER:
                yield Entry(None, told, source.offset - told)
            if entry is Outcome.CUT:
                return
            told, long = source.offset, NO_LONG_FORM
        block = source.read(BLOCK)
    if zeros > 1:
        told = source.offset - len(block.lstrip(b"\0"))
    if zeros < 2 or block.strip(b"\0"):
        yield Entry(None, told, source.offset - told)


def _skip_sparse_map(source: Source, block: bytes) -> None:
    """Passes the blocks that go on with an old GNU sparse map; each says whether another follows."""
    more = block[482:483]
    while more not in (b"", b"\0"):
        more = source.read(BLOCK)[504:505]


def _read_file(source: Source, header: Header, wanted: Callable[[str, int], bool]) -> Entry | Outcome:
    """The file after its header, or why there is none."""
    if header.is_lost or not (header.is_file or header.is_folder):
        source.skip(0 if header.has_no_data else round_up(header.size))
        return Outcome.LOST
    if header.size == 0 and (header.is_folder or header.name.endswith("/")):
        return Outcome.FOLDER
    offset = source.offset
    data = source.read(header.size) if wanted(header.name, header.size) else None
    if (source.skip(header.size) if data is None else len(data)) < header.size:
        return Outcome.CUT
    source.skip(round_up(header.size) - header.size)
    return Entry(header.name, offset, header.size, data)


def _find_header(source: Source, block: bytes, zeros: int) -> tuple[bytes, int, bool]:
    """Reads on to a block that is a header beyond doubt: (it, end-mark blocks before it, whether its name was lost).

    Six octal digits alone turn up in data, so the magic must be there too. At the end of the shard the block is
    the part of one that is left.
    """
    passed = [ZERO] if zeros else []
    mark = 0
    while len(block) == BLOCK and not (block[257:262] == b"ustar" and header_of(block)):
        mark = mark + 1 if block == ZERO else 0
        if len(passed) < 2:
            passed.append(block)
        block = source.read(BLOCK)
    if mark > 1:
        return block, mark, False
    return block, 0, len(block) == BLOCK and hides_long_form(b"".join(passed), block)

"""What one 512-byte header block of a tar says, and what extension headers say about the entry after them.

Pure functions of bytes; the reading is in pipeline/tar.py. Format: POSIX.1-2017 pax, "ustar interchange format";
GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline.errors import Reason

BLOCK = 512
FILES = (b"0", b"\0", b"7")
EXTENSIONS = (b"x", b"X", b"g", b"L", b"K")
"""Pax (X is Solaris'), global pax, GNU long name and GNU long link."""
SPARSE = b"S"
DIRECTORY = b"5"
BARE = {b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"5": "directory", b"6": "fifo"}
"""Types that POSIX gives no data; what their size field claims is not believed."""

_NUMBER = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([0-9]{1,7}) ([A-Za-z][^=\n]*)=")


@dataclass(frozen=True, slots=True)
class Header:
    """One valid header block."""

    name: str
    size: int
    kind: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """What extension headers said about the entry that follows them; a fault dooms that entry."""

    name: str | None = None
    size: int | None = None
    fault: tuple[Reason, str] | None = None


def parse_header(block: bytes) -> Header | None:
    """The header that `block` is, if its sum is right, its size is a number and it has a name."""
    if len(block) < BLOCK:
        return None
    stored = _number(block[148:156])
    body = block[:148] + b" " * 8 + block[156:]
    # Some old writers summed signed chars.
    if stored is None or (stored != (unsigned := sum(body)) and stored != unsigned - 256 * sum(b > 127 for b in body)):
        return None
    size = _number(block[124:136])
    name = block[:100].partition(b"\0")[0]
    if size is None or not name:
        return None
    prefix = block[345:500].partition(b"\0")[0]
    # GNU's own magic ends in blanks, and its prefix field holds times.
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    return Header(to_text(name), size, block[156:157])


def _number(number: bytes) -> int | None:
    """An octal field, or a base-256 one (first bit set) that is not negative."""
    if number[:1] >= b"\x80":
        return int.from_bytes(number, "big") - (0x80 << 8 * (len(number) - 1)) if number[0] < 0xC0 else None
    match = _NUMBER.fullmatch(number)
    return int(match[1] or b"0", 8) if match else None


def padded(size: int) -> int:
    """Bytes that `size` bytes of data take in a tar."""
    return -(-size // BLOCK) * BLOCK


def to_text(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 become lone surrogates, which no valid name has."""
    return name.decode("utf-8", "surrogateescape")


def read_pax(data: bytes, pending: Pending) -> Pending:
    """`pending` with the name and size of the records; a record that cannot be read dooms the entry."""
    malformed = replace(pending, fault=(Reason.TAR_HEADER, "a malformed pax header; its member has no sure name"))
    start = 0
    while start < len(data):
        record = _RECORD.match(data, start)
        end = start + int(record[1]) if record else 0
        if record is None or end <= record.end() or data[end - 1 : end] != b"\n":
            return malformed
        key, value = record[2], data[record.end() : end - 1]
        if key == b"path":
            pending = replace(pending, name=to_text(value) or None)
        elif key == b"size":
            if not re.fullmatch(rb"[0-9]{1,20}", value):
                return malformed
            pending = replace(pending, size=int(value))
        elif key.startswith(b"GNU.sparse."):
            return replace(pending, fault=(Reason.TAR_UNSUPPORTED, "a sparse file; only regular files are read"))
        start = end
    return pending


def was_extension(head: bytes, header: bytes) -> bool:
    """Whether the damage took the next member's long name: its header alone would give it a false one.

    head: the first two blocks of the damage; header: what follows it. The second block of a name extension holds a
    pax record, or a name that begins as the member's header does and goes on where its 100 bytes end.
    """
    second = head[BLOCK:]
    goes_on = b"\0" not in header[:100] and second[:100] == header[:100]
    return len(header) == BLOCK and (goes_on or _RECORD.match(second) is not None)

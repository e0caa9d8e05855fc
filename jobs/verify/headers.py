"""One header block of a tar, and the long names and sizes that blocks before it may give. Formats: pax, ustar, GNU."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

BLOCK = 512
PAX_RECORD = re.compile(rb"([0-9]{1,7}) ([A-Za-z][^=\n]*)=")


@dataclass(frozen=True, slots=True)
class Header:
    """What a block says about the entry after it; is_lost if the entry's true name or size is not known."""

    name: str
    size: int
    kind: bytes
    is_lost: bool = False

    @property
    def is_long_form(self) -> bool:
        return self.kind in (b"x", b"X", b"g", b"L", b"K")

    @property
    def is_file(self) -> bool:
        return self.kind in (b"0", b"\0", b"7")

    @property
    def is_folder(self) -> bool:
        return self.kind == b"5" and self.size == 0

    @property
    def has_no_data(self) -> bool:
        """Links, devices, folders, pipes: POSIX gives them none, whatever their size field says."""
        return b"1" <= self.kind <= b"6"


@dataclass(frozen=True, slots=True)
class LongForm:
    """What pax and GNU extension headers said about the next entry."""

    name: str | None = None
    size: int | None = None
    is_lost: bool = False

    def extended(self, kind: bytes, data: bytes) -> LongForm:
        """With one more extension header taken in; global ones and long link names say nothing about files."""
        if kind == b"L":
            return replace(self, name=_text(data.split(b"\0", 1)[0]))
        return self._with_pax(data) if kind in (b"x", b"X") else self

    def applied(self, header: Header) -> Header:
        name = header.name if self.name is None else self.name
        return Header(name, header.size if self.size is None else self.size, header.kind, self.is_lost)

    def _with_pax(self, data: bytes) -> LongForm:
        found, start = self, 0
        while start < len(data):
            match = PAX_RECORD.match(data, start)
            stop = start + int(match[1]) if match else 0
            if match is None or stop <= match.end() or data[stop - 1 : stop] != b"\n":
                return replace(self, is_lost=True)
            key, value = match[2], data[match.end() : stop - 1]
            if key == b"path":
                found = replace(found, name=_text(value) or None)
            elif key == b"size":
                if not re.fullmatch(rb"[0-9]{1,20}", value):
                    return replace(self, is_lost=True)
                found = replace(found, size=int(value))
            elif key.startswith(b"GNU.sparse."):
                return replace(found, is_lost=True)
            start = stop
        return found


def header_of(block: bytes) -> Header | None:
    """The header that a block is: its sum right (bytes signed or not), its size a number, its name not empty."""
    if len(block) < BLOCK:
        return None
    claimed, size = _number(block[148:156]), _number(block[124:136])
    summed = block[:148] + b" " * 8 + block[156:]
    if claimed not in (sum(summed), sum(byte - 256 if byte > 127 else byte for byte in summed)):
        return None
    name = block[:100].split(b"\0", 1)[0]
    if size is None or not name:
        return None
    # GNU's own magic ends in a blank, and what stands at the prefix then is times.
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return Header(_text(prefix + b"/" + name if prefix else name), size, block[156:157])


def hides_long_form(passed: bytes, header: bytes) -> bool:
    """Whether the damage that begins with `passed` (two blocks) held the long name of the entry that `header` begins.

    Told by its second block: a pax record, or a name that goes on where the header's 100 bytes end.
    """
    second = passed[BLOCK:]
    is_continued = b"\0" not in header[:100] and second[:100] == header[:100]
    return is_continued or PAX_RECORD.match(second) is not None


def round_up(size: int) -> int:
    """Bytes that data of `size` bytes takes in a tar."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:
        return None if field[0] & 0x40 else int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.lstrip(b" ").rstrip(b" \0")
    return int(digits or b"0", 8) if set(digits) <= set(b"01234567") else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

"""A stream that is read once, forward, and at its end is known: bytes, sha256, and what each byte was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Ledger:
    """Bytes per class. A booking takes everything up to `end` that no earlier one took: no gap, no overlap."""

    structure: int = 0
    members: int = 0
    zeros: int = 0
    damaged: int = 0

    @property
    def total(self) -> int:
        """All bytes booked so far, which is also the offset of the first that is not."""
        return self.structure + self.members + self.zeros + self.damaged

    def book_structure(self, end: int) -> None:
        self.structure += end - self.total

    def book_member(self, end: int) -> None:
        self.members += end - self.total

    def book_zeros(self, end: int) -> None:
        self.zeros += end - self.total

    def book_damage(self, end: int) -> None:
        self.damaged += end - self.total


class HashingReader:
    """Reads a stream forward once and knows, at its end, how many bytes it had and their sha256."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.offset = 0
        self.ledger = Ledger()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or all that are left."""
        data = self._stream.read(size)
        if 0 < len(data) < size:
            parts = [data]
            left = size - len(data)
            while left and (more := self._stream.read(left)):
                parts.append(more)
                left -= len(more)
            data = b"".join(parts)
        self._hash.update(data)
        self.offset += len(data)
        return data

    def skip(self, size: int) -> int:
        """The number of bytes that were there to skip; any `size` costs one chunk of memory."""
        left = size
        while left and (data := self.read(min(left, CHUNK_BYTES))):
            left -= len(data)
        return size - left

    def rewind(self) -> BinaryIO:
        """The stream itself from its start, for what has been hashed and must be read in another order."""
        self._stream.seek(0)
        return self._stream

    def sha256(self) -> str:
        return self._hash.hexdigest()

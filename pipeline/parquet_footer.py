"""What the footer of a Parquet file says of its row groups, read here because pyarrow's own view of a damaged one ends
the process with an exception of C++ (26.0, sizes of histograms that do not fit).

Source: parquet.thrift of parquet-format, in Thrift's compact protocol: a field is a byte with the distance to the last
field's number and a type, then its value; numbers are zigzag varints.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"PAR1"
MAX_FOOTER_BYTES = 16 << 20
"""A thousand row groups of twenty columns have about 4 MB."""
MAX_DEPTH = 16
"""Of structures in each other; the footer's own go six deep."""
END, TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
INTEGERS = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One leaf column of a row group: the column it is of, values, bytes unpacked and as stored, first page."""

    column: str
    num_values: int
    unpacked: int
    stored: int
    offset: int


@dataclass(frozen=True, slots=True)
class Rows:
    """A row group as the footer claims it."""

    num_rows: int
    chunks: tuple[Chunk, ...]


def read_footer(stream: BinaryIO, size: int) -> list[Rows]:
    """The row groups of a file of `size` bytes. ValueError, in one line, if it has no such footer."""
    stream.seek(max(0, size - 8))
    tail = stream.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or not 0 < length <= min(size - 8, MAX_FOOTER_BYTES):
        raise ValueError(f"it does not end in a footer of at most {MAX_FOOTER_BYTES} bytes and {MAGIC.decode()}")
    stream.seek(size - 8 - length)
    footer = _Compact(stream.read(length))
    groups: list[Rows] = []
    for number, kind in footer.fields():
        if (number, kind) == (4, LIST):
            groups = [_rows(footer) for _ in footer.items(STRUCT)]
        else:
            footer.skip(kind)
    return groups


def _rows(footer: _Compact) -> Rows:
    chunks: list[Chunk] = []
    num_rows = 0
    for number, kind in footer.fields():
        if (number, kind) == (1, LIST):
            chunks = [_chunk(footer) for _ in footer.items(STRUCT)]
        elif number == 3 and kind in INTEGERS:
            num_rows = footer.integer()
        else:
            footer.skip(kind)
    return Rows(num_rows, tuple(chunks))


def _chunk(footer: _Compact) -> Chunk:
    path: list[str] = []
    said: dict[int, int] = {}
    for outer, outer_kind in footer.fields():
        if (outer, outer_kind) != (3, STRUCT):
            footer.skip(outer_kind)
            continue
        for number, kind in footer.fields():
            if (number, kind) == (3, LIST):
                path = [footer.binary().decode("utf-8", "replace") for _ in footer.items(BINARY)]
            elif kind in INTEGERS:
                said[number] = footer.integer()
            else:
                footer.skip(kind)
    values, unpacked, stored = (said.get(number, 0) for number in (5, 6, 7))
    return Chunk(path[0] if path else "", values, unpacked, stored, said.get(11) or said.get(9, 0))


class _Compact:
    """Thrift's compact protocol, read forward. ValueError for whatever is none."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self._depth = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """(number, type) of each field of a structure; whoever asks for the next has read the value of the last."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("its footer has structures too deep in each other")
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, kind
        self._depth -= 1

    def items(self, kind: int) -> Iterator[int]:
        """The places of a list of values of a type; each is read before the next is asked for."""
        found, count = self._list()
        if found != kind and count:
            raise ValueError("its footer has a list of another type")
        return iter(range(count))

    def integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        return self._take(self._varint())

    def skip(self, kind: int) -> None:
        if kind in (TRUE, FALSE):
            return
        if kind in INTEGERS:
            self._varint()
        elif kind in (BYTE, DOUBLE):
            self._take(1 if kind == BYTE else 8)
        elif kind == BINARY:
            self.binary()
        elif kind in (LIST, SET):
            inner, count = self._list()
            for _ in range(count):
                # In a list a truth value has a byte of its own.
                self.skip(BYTE if inner in (TRUE, FALSE) else inner)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        else:
            raise ValueError(f"its footer has a value of type {kind}")

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._data.getbuffer()):
            raise ValueError("its footer has a list longer than itself")
        return head & 15, count

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number of over 64 bits")
        return (value | byte << shift) & (1 << 64) - 1

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        data = self._data.read(size)
        if len(data) < size:
            raise ValueError("its footer ends too early")
        return data

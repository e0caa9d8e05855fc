"""Objects of S3 read in blocks: as a stream that may be wound anywhere, or as ranges of which near ones go together."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pipeline.storage import clients, s3

BLOCK_BYTES = 8 << 20
"""Asked for at once: at 100 MB/s a block takes 80 ms, beside which the 20 ms of a request are little; and what a
failure throws away is little too."""
FIRST_BYTES = 1 << 20
"""A stream's first block, and the first after it was wound elsewhere; they double up to BLOCK_BYTES as reading goes on.
A Parquet file's footer and small columns would otherwise cost 8 MiB each."""
COALESCE_BYTES = 1 << 20
"""Ranges closer than this are fetched as one: a gap of 1 MiB costs less than another request to an object store."""
AT_ONCE = 4
"""Blocks of ranges on their way: 32 MiB in memory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are fetched in one request, and the numbers of the ranges that lie in it, at least partly."""

    start: int
    end: int
    members: tuple[int, ...]


def plan_pieces(ranges: Sequence[tuple[int, int]]) -> list[Piece]:
    """Pieces of at most BLOCK_BYTES that cover every (offset, size), in order, none of them twice."""
    pieces: list[Piece] = []
    group: list[int] = []
    end = 0
    for i in sorted((i for i in range(len(ranges)) if ranges[i][1]), key=lambda i: ranges[i]):
        if group and ranges[i][0] - end > COALESCE_BYTES:
            pieces += _cut(ranges, group, end)
            group = []
        end = max(end, sum(ranges[i])) if group else sum(ranges[i])
        group.append(i)
    return [*pieces, *_cut(ranges, group, end)]


def _cut(ranges: Sequence[tuple[int, int]], group: Sequence[int], end: int) -> Iterator[Piece]:
    """A run of near ranges, which ends at `end`, in pieces."""
    start = ranges[group[0]][0] if group else end
    while start < end:
        stop = min(end, start + BLOCK_BYTES)
        yield Piece(start, stop, tuple(i for i in group if ranges[i][0] < stop and sum(ranges[i]) > start))
        start = stop


def fetch_pieces(place: clients.Object, pieces: Sequence[Piece]) -> Iterator[bytes]:
    """The bytes of each piece, in order; the next few are on their way meanwhile."""
    waiting: deque[Future[bytes]] = deque()
    todo = deque(pieces)
    try:
        while waiting or todo:
            while todo and len(waiting) < AT_ONCE:
                piece = todo.popleft()
                waiting.append(clients.begin(place, s3.get(place, piece.start, piece.end)))
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@dataclass(slots=True)
class _Block:
    start: int
    end: int
    data: Future[bytes]


class RangeStream(io.RawIOBase):
    """One version of an object as a stream. While it is read on, the next block is on its way."""

    def __init__(self, place: clients.Object, version: s3.Version) -> None:
        self._place, self._version = place, version
        self._at = 0
        self._length = FIRST_BYTES
        self._block: _Block | None = None
        self._ahead: _Block | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._version.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """StorageError if the object is another one by now, or if its store fails for good."""
        if self._at >= self._version.size or not len(buffer):
            return 0
        block = self._block_here(len(buffer))
        first = self._at - block.start
        part = memoryview(block.data.result())[first : first + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.data.cancel()
        self._block = self._ahead = None
        super().close()

    def _block_here(self, wanted: int) -> _Block:
        """The block that holds the next byte; where one is left behind, the next but one is asked for."""
        block = self._block
        if block is not None and block.start <= self._at < block.end:
            return block
        ahead, self._ahead = self._ahead, None
        is_going_on = block is not None and self._at == block.end
        self._length = min(BLOCK_BYTES, 2 * self._length) if is_going_on else FIRST_BYTES
        if ahead is not None and ahead.start <= self._at < ahead.end:
            self._block = ahead
        else:
            if ahead is not None:
                ahead.data.cancel()
            self._block = self._ask(self._at, max(self._length, min(wanted, BLOCK_BYTES)))
        if is_going_on and self._block.end < self._version.size:
            self._ahead = self._ask(self._block.end, self._length)
        return self._block

    def _ask(self, start: int, length: int) -> _Block:
        end = min(start + length, self._version.size)
        return _Block(start, end, clients.begin(self._place, s3.get(self._place, start, end, self._version)))

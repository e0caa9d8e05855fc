"""Files read whole, in ranges or as a stream."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from pipeline.errors import StorageError
from pipeline.storage import clients, s3
from pipeline.storage.addresses import is_s3
from pipeline.storage.attempts import attempt, filesystem
from pipeline.storage.failures import FAILURES, why
from pipeline.storage.ranges import RangeStream, fetch_pieces, plan_pieces
from pipeline.storage.traffic import count

CHUNK_BYTES = 1 << 20
BUFFER_BYTES = 1 << 17
"""Of a stream from S3: reads of a header or a member's padding are served from it."""


@contextmanager
def open_input(url: str) -> Iterator[tuple[BinaryIO, int]]:
    """An input file for reading from its start, and its size in bytes. StorageError if it changes meanwhile, on S3."""
    if is_s3(url):
        place = clients.locate(url)
        version = clients.run(place, s3.head(place))
        with io.BufferedReader(RangeStream(place, version), BUFFER_BYTES) as stream:
            yield cast("BinaryIO", stream), version.size
        return
    fs, path = filesystem(url)
    size = size_of(url)
    with attempt(url, "read", lambda: fs.open(path, "rb")) as stream:
        try:
            yield cast("BinaryIO", stream), size
        except FAILURES as error:  # a read in the middle of a stream cannot be tried again here: the unit can
            raise StorageError(f"{url}: {why(error)}; run again to resume") from error


def size_of(url: str) -> int:
    """Bytes of a file. StorageError if there is none."""
    if is_s3(url):
        place = clients.locate(url)
        return clients.run(place, s3.head(place)).size
    fs, path = filesystem(url)
    return int(attempt(url, "read", lambda: fs.size(path)))


def hash_file(url: str) -> str:
    """sha256 of a whole file, in hex, in constant memory."""
    digest = hashlib.sha256()
    with open_input(url) as (stream, _):
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_bytes(url: str) -> bytes:
    if is_s3(url):
        place = clients.locate(url)
        return clients.run(place, s3.get(place))
    fs, path = filesystem(url)
    return bytes(attempt(url, "read", lambda: fs.cat_file(path)))


def exists(url: str) -> bool:
    """Whether there is a file or, with anything in it, a folder."""
    if is_s3(url):
        place = clients.locate(url)
        return clients.run(place, s3.exists(place))
    fs, path = filesystem(url)
    return bool(attempt(url, "read", lambda: fs.exists(path)))


def read_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of each (offset, size), near ones fetched together. StorageError if the file ends before."""
    pieces = plan_pieces(ranges)
    if is_s3(url):
        blocks = fetch_pieces(clients.locate(url), pieces)
    else:
        blocks = (_read_piece(url, piece.start, piece.end) for piece in pieces)
    parts: list[list[bytes]] = [[] for _ in ranges]
    for piece, block in zip(pieces, blocks, strict=True):
        for i in piece.members:
            offset, size = ranges[i]
            parts[i].append(block[max(0, offset - piece.start) : offset + size - piece.start])
    return [b"".join(part) for part in parts]


def _read_piece(url: str, start: int, end: int) -> bytes:
    fs, path = filesystem(url)
    block = bytes(attempt(url, "read", lambda: fs.cat_file(path, start=start, end=end)))
    if len(block) != end - start:
        raise StorageError(f"{url}: {len(block)} bytes came for bytes {start} to {end}; the shard changed, run again")
    count(requests=1, num_bytes=len(block))
    return block

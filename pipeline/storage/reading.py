"""Files read whole, in ranges or as a stream; folders listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from pipeline.errors import StorageError
from pipeline.storage.attempts import FAILURES, attempt, filesystem, why

CHUNK_BYTES = 1 << 20
COALESCE_BYTES = 1 << 20
"""Ranges closer than this are fetched as one: a gap of 1 MiB costs less than another request to an object store."""


@contextmanager
def open_input(url: str) -> Iterator[tuple[BinaryIO, int]]:
    """An input file for reading from its start, and its size in bytes."""
    fs, path = filesystem(url)
    size = int(attempt(url, lambda: fs.size(path)))
    with attempt(url, lambda: fs.open(path, "rb")) as stream:
        try:
            yield cast("BinaryIO", stream), size
        except FAILURES as error:  # a read in the middle of a stream cannot be tried again here: the unit can
            raise StorageError(f"{url}: {why(error)}; run again to resume") from error


def expand_glob(pattern: str) -> list[str]:
    """The files that a pattern with `*`, `?` or `[…]` matches, sorted: URLs if it is one, otherwise absolute paths."""
    fs, path = filesystem(pattern)
    found = sorted(str(name) for name in attempt(pattern, lambda: fs.glob(path)))
    return [str(fs.unstrip_protocol(name)) if "://" in pattern else name for name in found]


def fingerprint(url: str) -> str:
    """What tells a changed file from an unchanged one without reading it: size, and ETag or time of change."""
    fs, path = filesystem(url)
    fs.invalidate_cache(path)  # a listing that s3fs remembers would show a changed object as it was
    info = attempt(url, lambda: fs.info(path))
    stamp = info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or ""
    return f"{info['size']}:{stamp}"


def hash_file(url: str) -> str:
    """sha256 of a whole file, in hex, in constant memory."""
    digest = hashlib.sha256()
    with open_input(url) as (stream, _):
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_bytes(url: str) -> bytes:
    fs, path = filesystem(url)
    return bytes(attempt(url, lambda: fs.cat_file(path)))


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    return bool(attempt(url, lambda: fs.exists(path)))


def list_names(url: str) -> list[str]:
    """The base names in a folder, sorted; none if there is no such folder."""
    fs, path = filesystem(url)

    def names() -> list[str]:
        fs.invalidate_cache(path)
        try:
            return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
        except FileNotFoundError:
            return []

    return attempt(url, names)


def read_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of each (offset, size), near ones fetched together; a short answer is a StorageError."""
    fs, path = filesystem(url)
    order = sorted(range(len(ranges)), key=lambda i: ranges[i])
    found: list[bytes] = [b""] * len(ranges)
    while order:
        group = [order.pop(0)]
        start, end = ranges[group[0]][0], sum(ranges[group[0]])
        while order and ranges[order[0]][0] - end <= COALESCE_BYTES:
            group.append(order.pop(0))
            end = max(end, sum(ranges[group[-1]]))
        block = attempt(url, lambda start=start, end=end: fs.cat_file(path, start=start, end=end))  # type: ignore[misc]
        if len(block) != end - start:
            raise StorageError(
                f"{url}: {len(block)} bytes came for bytes {start} to {end}; the shard changed, run again"
            )
        for i in group:
            offset, size = ranges[i]
            found[i] = block[offset - start : offset - start + size]
    return found

"""Files read whole, in ranges or as a stream; folders listed."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from fsspec.utils import glob_translate

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
    size = int(attempt(url, "read", lambda: fs.size(path)))
    with attempt(url, "read", lambda: fs.open(path, "rb")) as stream:
        try:
            yield cast("BinaryIO", stream), size
        except FAILURES as error:  # a read in the middle of a stream cannot be tried again here: the unit can
            raise StorageError(f"{url}: {why(error)}; run again to resume") from error


def expand_glob(pattern: str) -> list[str]:
    """The files that a pattern with `*`, `?` or `[…]` matches, sorted: URLs if it is one, otherwise absolute paths."""
    if is_s3(pattern):
        return _expand_keys(pattern)
    fs, path = filesystem(pattern)
    found = sorted(str(name) for name in attempt(pattern, "list", lambda: fs.glob(path)))
    return [str(fs.unstrip_protocol(name)) if "://" in pattern else name for name in found]


def _expand_keys(pattern: str) -> list[str]:
    place = clients.locate(pattern)
    fixed = re.split(r"[*?\[]", place.key, maxsplit=1)[0]
    delimiter = "" if "/" in place.key[len(fixed) :] or "**" in place.key else "/"
    keys = clients.run(place, s3.list_keys(place, fixed, delimiter))
    matches = re.compile(glob_translate(place.key)).match
    return [f"s3://{place.bucket}/{key}" for key in sorted(keys) if matches(key) and not key.endswith("/")]


def fingerprint(url: str) -> str:
    """What tells a changed file from an unchanged one without reading it: size, and ETag or time of change."""
    if is_s3(url):
        place = clients.locate(url)
        version = clients.run(place, s3.head(place))
        return f"{version.size}:{version.etag}"
    fs, path = filesystem(url)
    fs.invalidate_cache(path)  # a listing that it remembers would show a changed file as it was
    info = attempt(url, "read", lambda: fs.info(path))
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


def list_names(url: str) -> list[str]:
    """The base names in a folder, sorted; none if there is no such folder."""
    if is_s3(url):
        place = clients.locate(url)
        prefix = f"{place.key}/" if place.key else ""
        keys = clients.run(place, s3.list_keys(place, prefix, "/"))
        return sorted({key.removeprefix(prefix).rstrip("/") for key in keys} - {""})
    fs, path = filesystem(url)

    def names() -> list[str]:
        fs.invalidate_cache(path)
        try:
            return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
        except FileNotFoundError:
            return []

    return attempt(url, "list", names)


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

"""Reads a sound archive, and no other: what a loop needs that trusts its input."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 512


def read_pairs(content: bytes) -> Iterator[tuple[str, bytes, int, str]]:
    """Key, picture, its offset and its caption of each sample of a sound ustar archive of KEY.jpg and KEY.txt."""
    place = 0
    key, picture, offset = "", b"", 0
    while (name := content[place : place + 100].rstrip(b"\0").decode()) != "":
        size = int(content[place + 124 : place + 135], 8)
        start = place + BLOCK
        stem, _, field = name.partition(".")
        if field == "txt":
            assert stem == key
            yield key, picture, offset, content[start : start + size].decode()
        else:
            key, picture, offset = stem, content[start : start + size], start
        place = start + -(-size // BLOCK) * BLOCK

"""The lines of a shard of JSON lines: each is `NUMBER.json` of eight digits, from 0; blank ones count and are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jobs.verify.walk import CHUNK_BYTES, Entry, Source


def walk_lines(source: Source, wanted: Callable[[str, int], bool]) -> Iterator[Entry]:
    """Every line that is not blank, without its line break; one that is too long is passed in constant memory."""
    number, begin, size = 0, 0, 0
    held: list[bytes] | None = []
    """The line so far; None once it is longer than anybody wants it."""
    has_ink = False
    while True:
        data = source.read(CHUNK_BYTES)
        parts = data.split(b"\n")
        for place, part in enumerate(parts):
            size += len(part)
            has_ink = has_ink or not (part.isspace() or not part)
            name = f"{number:08d}.json"
            held = [*held, part] if held is not None and wanted(name, size) else None
            if place == len(parts) - 1 and data:
                break
            if has_ink:
                yield Entry(name, begin, size, None if held is None else b"".join(held))
            number, begin, size, held, has_ink = number + 1, begin + size + 1, 0, [], False
        if not data:
            return

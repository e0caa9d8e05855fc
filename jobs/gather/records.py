"""The records of a JSON or JSONL file one by one, each with its place, in the memory that one of them takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from pipeline.errors import ConfigError

CHUNK_CHARS = 1 << 20
MAX_RECORD_BYTES = 64 << 20
"""Of one record; MMC4 documents with their likeness matrices have about 100 kB."""


@dataclass(frozen=True, slots=True)
class Record:
    """where: file and line, or file and byte. value: None if fault says why it cannot be read."""

    where: str
    value: Any
    fault: str = ""


def read_records(path: Path) -> Iterator[Record]:
    """The elements of a JSON list, the lines of a JSONL file, or the one object of a JSON file.

    ConfigError where a file is no such thing, or stops being one: behind a fault in a list nothing can be found again.
    """
    try:
        with path.open("rb") as stream:
            first = stream.read(CHUNK_CHARS).lstrip()[:1]
            stream.seek(0)
            if first != b"[":
                yield from _lines(path, stream)
                return
        with path.open(encoding="utf-8", newline="") as text:
            yield from _elements(path, text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason}; JSON or JSONL is expected") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; a JSON or JSONL file is expected") from error


def _lines(path: Path, stream: BinaryIO) -> Iterator[Record]:
    number = 0
    while line := stream.readline(MAX_RECORD_BYTES):
        number += 1
        where = f"{path} line {number}"
        if not line.endswith(b"\n") and len(line) == MAX_RECORD_BYTES:
            while (rest := stream.readline(MAX_RECORD_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield Record(where, None, f"is longer than {MAX_RECORD_BYTES} bytes")
            continue
        if not line.strip():
            continue
        try:
            yield Record(where, json.loads(line))
        except (ValueError, RecursionError) as error:
            whole = _whole(path) if number == 1 and path.suffix == ".json" else None
            if whole is not None:
                yield Record(f"{path} byte 0", whole)
                return
            yield Record(where, None, f"is no JSON that can be read: {error}")


def _whole(path: Path) -> Any:
    """The one value of a JSON file that is written over several lines; None if it has none."""
    if path.stat().st_size > MAX_RECORD_BYTES:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _elements(path: Path, text: TextIO) -> Iterator[Record]:
    decoder = json.JSONDecoder()
    buffer = text.read(CHUNK_CHARS)
    start = len(buffer) - len(buffer.lstrip()) + 1
    offset = len(buffer[:start].encode())
    is_first = True
    while True:
        place = _skip(buffer, start, "," if not is_first else "")
        offset += len(buffer[start:place].encode("utf-8"))
        start = place
        if buffer[start : start + 1] == "]":
            return
        try:
            value, end = decoder.raw_decode(buffer, start)
        except (ValueError, RecursionError) as error:
            more = text.read(max(CHUNK_CHARS, len(buffer))) if len(buffer) - start < MAX_RECORD_BYTES else ""
            if not more:
                fault = f"{path} is no JSON that can be read from byte {offset} on"
                raise ConfigError(f"{fault}; nothing behind it can be found: mend it, or give JSONL") from error
            buffer, start = buffer[start:] + more, 0
            continue
        yield Record(f"{path} byte {offset}", value)
        offset += len(buffer[start:end].encode("utf-8"))
        buffer, start, is_first = buffer[end:] if end > CHUNK_CHARS else buffer, 0 if end > CHUNK_CHARS else end, False


def _skip(buffer: str, place: int, comma: str) -> int:
    """The first place from that on that is neither white space nor the one comma."""
    while (letter := buffer[place : place + 1]) and (letter in " \t\r\n" or letter == comma):
        comma = "" if letter == comma else comma
        place += 1
    return place

"""Scores of documents that a model of the user's gave them beforehand: a file of keys and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".jsonl", ".parquet")
FIELDS = ("key", "score")
T = TypeVar("T")


def given_scores(path: str) -> dict[str, float]:
    """Score of each key of a .jsonl of {"key": ..., "score": ...} or a .parquet with these two columns.

    A file that has changed is read again. ValueError in one line: no such file, no such fields, no finite number, or
    a key that stands there twice.
    """
    return read_given(path, FIELDS, _read)


def read_given(path: str, fields: Sequence[str], read: Callable[[Path, int], T]) -> T:
    """What `read` makes of a file of scores and of when it was changed, in ns. ValueError: there is no such file."""
    where = Path(path).expanduser()
    if where.suffix not in SUFFIXES:
        raise ValueError(f"{path} is no file of scores; a .jsonl or .parquet with {' and '.join(fields)} is expected")
    try:
        return read(where, where.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"no scores at {path}: {error.strerror or error}; write them there first") from error


def given_rows(where: Path, fields: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """The values of the fields in each row, None for one that is not there. ValueError if Parquet does not open."""
    return _rows_of_json(where, fields) if where.suffix == ".jsonl" else _rows_of_parquet(where, fields)


@lru_cache(4)
def _read(where: Path, changed_ns: int) -> dict[str, float]:  # noqa: ARG001 - part of what is remembered
    found: dict[str, float] = {}
    for number, (key, score) in enumerate(given_rows(where, FIELDS), 1):
        if not isinstance(key, str) or isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError(f"{where}, row {number}: a text as key and a number as score expected")  # noqa: TRY004
        if not math.isfinite(score):
            raise ValueError(f"{where}, row {number}: score {score} is no number to compare; a finite one is expected")
        if key in found:
            raise ValueError(f"{where}, row {number}: key {key!r:.60} stands there twice; once expected")
        found[key] = float(score)
    return found


def _rows_of_json(where: Path, fields: Sequence[str]) -> Iterator[tuple[object, ...]]:
    with where.open("rb") as lines:
        for line in lines:
            if line.strip():
                try:
                    row = json.loads(line, parse_int=float)
                except (ValueError, RecursionError):
                    row = None
                yield tuple(row.get(field) if isinstance(row, dict) else None for field in fields)


def _rows_of_parquet(where: Path, fields: Sequence[str]) -> Iterator[tuple[object, ...]]:
    named = " and ".join(fields)
    try:
        if not set(fields) <= set(pq.read_schema(where).names):
            raise ValueError(f"columns {named} are not {'both' if len(fields) == 2 else 'all'} there")  # noqa: TRY301
        table = pq.read_table(where, columns=list(fields))
    except (pa.ArrowException, ValueError) as error:
        fault = " ".join(str(error).split())[:200]
        raise ValueError(f"{where} does not open: {fault}; Parquet with {named} is expected") from error
    yield from zip(*(table[field].to_pylist() for field in fields), strict=True)

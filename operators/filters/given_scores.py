"""Scores of documents that a model of the user's gave them beforehand: a file of keys and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".jsonl", ".parquet")


def given_scores(path: str) -> dict[str, float]:
    """Score of each key of a .jsonl of {"key": ..., "score": ...} or a .parquet with these two columns.

    A file that has changed is read again. ValueError in one line: no such file, no such fields, no finite number, or
    a key that stands there twice.
    """
    where = Path(path).expanduser()
    if where.suffix not in SUFFIXES:
        raise ValueError(f"{path} is no file of scores; a .jsonl or .parquet with key and score is expected")
    try:
        return _read(where, where.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"no scores at {path}: {error.strerror or error}; write them there first") from error


@lru_cache(4)
def _read(where: Path, changed_ns: int) -> dict[str, float]:  # noqa: ARG001 - part of what is remembered
    rows = _rows_of_json(where) if where.suffix == ".jsonl" else _rows_of_parquet(where)
    found: dict[str, float] = {}
    for number, (key, score) in enumerate(rows, 1):
        if not isinstance(key, str) or isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError(f"{where}, row {number}: a text as key and a number as score expected")  # noqa: TRY004
        if not math.isfinite(score):
            raise ValueError(f"{where}, row {number}: score {score} is no number to compare; a finite one is expected")
        if key in found:
            raise ValueError(f"{where}, row {number}: key {key!r:.60} stands there twice; once expected")
        found[key] = float(score)
    return found


def _rows_of_json(where: Path) -> Iterator[tuple[object, object]]:
    with where.open("rb") as lines:
        for line in lines:
            if line.strip():
                try:
                    row = json.loads(line, parse_int=float)
                except (ValueError, RecursionError):
                    row = None
                yield (row.get("key"), row.get("score")) if isinstance(row, dict) else (None, None)


def _rows_of_parquet(where: Path) -> Iterator[tuple[object, object]]:
    try:
        if not {"key", "score"} <= set(pq.read_schema(where).names):
            raise ValueError("columns key and score are not both there")  # noqa: TRY301
        table = pq.read_table(where, columns=["key", "score"])
    except (pa.ArrowException, ValueError) as error:
        fault = " ".join(str(error).split())[:200]
        raise ValueError(f"{where} does not open: {fault}; Parquet with key and score is expected") from error
    yield from zip(table["key"].to_pylist(), table["score"].to_pylist(), strict=True)

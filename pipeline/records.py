"""Reads the JSON records of an output, and says in one line which is damaged: a disk or a hand may have changed one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.schema import SCHEMA_VERSION
from pipeline.units import canonical_json, recipe_hash

Counts = dict[str, dict[str, int]]


class Record(BaseModel):
    """What every record has, whatever its schema version; it may hold more."""

    model_config = ConfigDict(strict=True, extra="ignore")
    schema_version: int
    recipe: dict[str, Any]


class Input(BaseModel):
    """One shard of a unit."""

    shard: str
    sha256: str
    bytes: int
    samples: int
    ignored: int
    take: int | None = None


class File(BaseModel):
    """One file of a unit."""

    path: str
    kind: Literal["data", "index", "rejects"]
    sha256: str
    bytes: int
    rows: int


class Manifest(Record):
    """What readers of a committed unit ask."""

    unit: str
    recipe_id: str
    inputs: list[Input]
    closes: list[str] = []
    files: list[File]
    counts: Counts
    reasons: dict[str, int]


class Source(BaseModel):
    """One source of a version."""

    format: str
    weight: float
    max_samples: int | None
    units: list[str]
    totals: Counts


class Version(Record):
    """What readers of a data set ask."""

    recipe_id: str
    units: list[str]
    sources: dict[str, Source]
    totals: Counts
    reasons: dict[str, int]
    withheld_shards: list[str]


class Done(BaseModel):
    """What one operator did in a run."""

    seconds: float
    rows: int
    tables: int


class Outcome(BaseModel, extra="allow"):
    """How a run ended."""

    operators: dict[str, Done] = {}


class Run(BaseModel):
    """Where a run read from, and what it was to do."""

    shards: dict[str, str] = {}
    tokenizer: str
    started: str = ""
    host: str = ""
    job: dict[str, Any] = {}
    outcome: Outcome | None = None


def read_manifest(url: str) -> dict[str, Any]:
    """The manifest of a unit. StorageError if it is damaged."""
    return _read(url, Manifest)


def read_version(url: str) -> dict[str, Any]:
    """A version. StorageError if it is damaged."""
    return _read(url, Version)


def read_last_run(output: str, *, ended: bool = False) -> dict[str, Any]:
    """The record of the run that was started last; empty if runs/ was not kept. ConfigError if it is damaged.

    ended: of those that ended well, if there is one: a run that failed may have been of another job.
    """
    newest: dict[str, Any] = {}
    for found in read_runs(output):
        newest = newest or found
        if not ended or (found.get("outcome") and "failure" not in found["outcome"]):
            return found
    return newest


def read_runs(output: str) -> Iterator[dict[str, Any]]:
    """The records of all runs, the newest first; none if runs/ was not kept. ConfigError if one is damaged."""
    names = [name for name in storage.list_names(storage.join(output, "runs")) if name.endswith(".json")]
    for name in reversed(names):
        yield _read_run(storage.join(output, "runs", name))


def _read_run(url: str) -> dict[str, Any]:
    try:
        return Run.model_validate_json(storage.read_bytes(url)).model_dump(exclude_unset=True)
    except ValueError as error:
        raise ConfigError(
            f"{url} is damaged: {_one_line(error)}; remove it: the data set needs none, only say where its shards and "
            "its tokenizer are"
        ) from error


def _read(url: str, kind: type[Record]) -> dict[str, Any]:
    """The record as it is; one of another schema version has a recipe and is looked at no further."""
    try:
        record: dict[str, Any] = json.loads(storage.read_bytes(url))
        canonical_json(record)  # a lone surrogate, which no name and no hash can be made of
        is_ours = Record.model_validate(record).schema_version == SCHEMA_VERSION
        fault = _fault(record, kind) if is_ours else ""
    except (ValueError, RecursionError) as error:
        fault = _one_line(error)
    if fault:
        raise StorageError(
            f"{url} is damaged: {fault}; a record that a run wrote is expected: restore it, or build again into "
            "another output"
        )
    return record


def _fault(record: dict[str, Any], kind: type[Record]) -> str:
    """What a record of our schema version has that none of its kind can; ValueError for what has another shape."""
    kind.model_validate(record)
    return "" if recipe_hash(record["recipe"]) == record["recipe_id"] else "its recipe is not that of its recipe_id"


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"
    return " ".join(str(error).split())

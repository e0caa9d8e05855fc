"""Operators that fail as real ones do; in a module of their own, which Ray's workers can import."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from jobs.chain import build_chain, resolve_job
from jobs.spec import load_job
from pipeline.chain import Chain, Stage
from pipeline.errors import ConfigError, InputError, Reason, StorageError
from pipeline.monitor import Beat
from pipeline.operator import Row, map_rows
from pipeline.schema import MEASURED
from pipeline.types import Source, Unit
from pipeline.units import list_shards
from tests.support import QUICKSTART, ROOT, write_small_shards


class Failing:
    """An operator on whose table storage fails, until a file says that it is mended."""

    name = "failing"
    version = 1

    def __init__(self, mended: Path) -> None:
        self._mended = mended

    def __call__(self, table: pa.Table) -> pa.Table:
        if self._mended.exists():
            return table
        self._mended.touch()
        raise StorageError("s3://bucket/shard.tar: the network is down; wait for it")


class Stalling(Failing):
    """An operator that never comes back from its first table."""

    def __call__(self, table: pa.Table) -> pa.Table:
        if not self._mended.exists():
            self._mended.touch()
            time.sleep(3600)
        return table


class Stuck(Failing):
    """An operator that does not come back from any table for longer than a test waits."""

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(45)
        return table


class Deadly(Failing):
    """An operator that kills its process, as a bug in a library may: no picture, so no guard is around it."""

    def __call__(self, table: pa.Table) -> pa.Table:
        os._exit(table.num_columns)


class Unbuildable(Failing):
    """An operator whose actor finds the job wrong."""

    def __init__(self, mended: Path) -> None:
        super().__init__(mended)
        raise ConfigError("tokenizer gone.model cannot be read; train one")


class Slow(Failing):
    """An operator that takes its time, and rejects all that it is given."""

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(0.3)

        def reject(_: Row) -> Row:
            raise InputError(Reason.DECODE_ERROR, "no picture")

        return map_rows(table.drop_columns("payloads"), MEASURED, self.name, reject)


class SlowWriter:
    """A `write` that notes when it begins, and takes its time over nothing."""

    name = "write"
    version = 1

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def __call__(self, tasks: pa.Table) -> pa.Table:
        note(self._notes, "write", tasks["unit"].to_pylist()[0])
        time.sleep(0.5)
        return tasks


def note(notes: Path, what: str, unit: int) -> None:
    with notes.open("a") as file:
        file.write(f"{what} {unit}\n")


def read_and_note(chain: Chain, notes: Path, unit: Unit, shard: int) -> Iterator[pa.Table]:
    note(notes, "read", unit.number)
    yield from chain.read(unit, shard)


def make_writer(notes: Path, _: Beat) -> SlowWriter:
    return SlowWriter(notes)


def with_slow_writer(chain: Chain, notes: Path) -> Chain:
    """The chain, which notes what it reads and writes, a line each."""
    write = replace(chain.write, build=partial(make_writer, notes))
    return replace(chain, read=partial(read_and_note, chain, notes), write=write)


class Hopeless(Failing):
    """An operator on which storage fails for ever."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise StorageError(f"s3://bucket/shard.tar: access denied to {table.num_columns} columns; check the key")


def make(kind: type[Failing], mended: Path, _: Beat) -> Failing:
    return kind(mended)


def chain_with(kind: type[Failing], folder: Path, stall_seconds: float = 900) -> tuple[Chain, list[Unit]]:
    """The quickstart's chain with a failing operator at its end, and a unit of two documents."""
    pattern = write_small_shards(folder / "in", 1, 2)
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "score=null", "budget=none"]
    job = load_job(str(QUICKSTART), fields, input__shards=pattern, output=str(folder / "out"))
    chain = build_chain(resolve_job(job))
    stages = (*chain.stages, Stage("failing", partial(make, kind, folder / "mended"), None))
    units = [Unit(0, tuple(list_shards([pattern])), Source("interleaved"))]
    return replace(chain, stages=stages, stall_seconds=stall_seconds), units

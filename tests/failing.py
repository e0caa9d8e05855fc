"""Operators that fail as real ones do; in a module of their own, which Ray's workers can import."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.errors import ConfigError, StorageError
from pipeline.monitor import Beat


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


class Unbuildable(Failing):
    """An operator whose actor finds the job wrong."""

    def __init__(self, mended: Path) -> None:
        super().__init__(mended)
        raise ConfigError("tokenizer gone.model cannot be read; train one")


class Hopeless(Failing):
    """An operator on which storage fails for ever."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise StorageError(f"s3://bucket/shard.tar: access denied to {table.num_columns} columns; check the key")


def make(kind: type[Failing], mended: Path, _: Beat) -> Failing:
    return kind(mended)

"""The packs of a finished output, numbered from 0 in one fixed order, and read a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.operator import Row
from pipeline.planning import latest_version, read_json
from pipeline.schema import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class PackFile:
    """One data file: its packs have the numbers `first` to `first + rows - 1`."""

    url: str
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class Packs:
    """The packs of one version, in the order of unit ids and file names: the same for every reader."""

    url: str
    number: int
    """Of the version."""
    recipe: dict[str, Any]
    files: tuple[PackFile, ...]

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    def read(self, wanted: range, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """The number and the columns (Arrow scalars) of each pack in `wanted`, which must rise.

        Columns that no job asked for are left out. Files and row groups without a wanted pack are not read; one row
        group is in memory. StorageError for damage, with the file's URL.
        """
        for file in self.files:
            if not _within(wanted, file.first, file.rows):
                continue
            with _open(file.url) as parquet:
                present = [name for name in columns if name in parquet.schema_arrow.names]
                first = file.first
                for group in range(parquet.num_row_groups):
                    rows = parquet.metadata.row_group(group).num_rows
                    if inside := _within(wanted, first, rows):
                        table = parquet.read_row_group(group, columns=present)
                        for number in inside:
                            yield number, {name: table[name][number - first] for name in table.column_names}
                    first += rows


def open_packs(url: str, version: int | None = None) -> Packs:
    """The packs of the newest version of the output at `url`, or of a certain one.

    ConfigError if there is none, or if another lodepack wrote it in another schema.
    """
    if version is None:
        number, content = latest_version(url)
    else:
        address = storage.join(url, "versions", f"{version:06d}.json")
        number, content = version, read_json(address) if storage.exists(address) else None
    if content is None:
        named = "no finished version" if version is None else f"no version {version}"
        raise ConfigError(f"{url} has {named}; the output of a finished run is expected: give the job's `output`")
    if content["schema_version"] != SCHEMA_VERSION:
        raise ConfigError(
            f"{url} has schema version {content['schema_version']}; {SCHEMA_VERSION} expected; "
            "use the lodepack that wrote it, or build it again"
        )
    entries = [
        (storage.join(url, file["path"]), int(file["rows"]))
        for unit in content["units"]
        for file in read_json(storage.join(url, "manifests", f"{unit}.json"))["files"]
        if file["kind"] == "data"
    ]
    firsts = accumulate((rows for _, rows in entries), initial=0)
    files = tuple(PackFile(path, first, rows) for (path, rows), first in zip(entries, firsts, strict=False))
    return Packs(url, number, content["recipe"], files)


def _within(wanted: range, first: int, count: int) -> range:
    """Those of `wanted` from `first` to `first + count - 1`."""
    low, high = (max(0, -((wanted.start - bound) // wanted.step)) for bound in (first, first + count))
    return wanted[low:high]


@contextmanager
def _open(url: str) -> Iterator[pq.ParquetFile]:
    with storage.open_input(url) as (stream, _):
        try:
            yield pq.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise StorageError(f"{url} is damaged: {error}; list what is wrong with: lodepack verify") from error

"""The packs of a finished output, numbered from 0 in one fixed order, and read a row group at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.loading.row_groups import read_footer, read_row_group
from pipeline.operator import Row
from pipeline.planning import latest_version
from pipeline.records import read_manifest, read_version
from pipeline.schema import SCHEMA_VERSION

MANIFEST_THREADS = 8


@dataclass(frozen=True, slots=True)
class PackFile:
    """One data file: its packs have the numbers `first` to `first + rows - 1`."""

    url: str
    size: int
    """In bytes."""
    first: int
    rows: int
    source: str


@dataclass(frozen=True, slots=True)
class Packs:
    """The packs of one version, in the order of unit ids and file names: the same for every reader."""

    url: str
    number: int
    """Of the version."""
    recipe: dict[str, Any]
    sources: tuple[str, ...]
    """Names of all, those without a pack too; `input` where the job was no mixture."""
    files: tuple[PackFile, ...]

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    def read(self, wanted: Iterable[int], columns: Sequence[str], keep: int = 1) -> Iterator[tuple[int, Row]]:
        """The number and the columns (Arrow scalars) of each pack in `wanted`, in that order.

        Columns that no job asked for are left out. Row groups without a wanted pack are not read; the `keep` last
        used of each source are in memory. StorageError for damage, with the file's URL.
        """
        firsts = [file.first for file in self.files]
        readers = {source: _reader(columns, keep) for source in self.sources}
        for pack in wanted:
            file = self.files[bisect_right(firsts, pack) - 1]
            yield pack, readers[file.source](file, pack)


def _reader(columns: Sequence[str], keep: int) -> Callable[[PackFile, int], Row]:
    """What gives the columns of a file's pack, and keeps the `keep` last used footers and row groups."""

    @lru_cache(maxsize=keep)
    def footer(file: PackFile) -> tuple[pq.FileMetaData, list[int]]:
        """Metadata of a file, and the first pack of each row group."""
        found = read_footer(file.url, file.size)
        rows = [found.row_group(group).num_rows for group in range(found.num_row_groups)]
        return found, list(accumulate(rows[:-1], initial=file.first))

    @lru_cache(maxsize=keep)
    def table(file: PackFile, group: int) -> pa.Table:
        return read_row_group(file.url, footer(file)[0], group, columns)

    def read(file: PackFile, pack: int) -> Row:
        starts = footer(file)[1]
        group = bisect_right(starts, pack) - 1
        # A copy: a slice would keep its whole row group in memory for as long as the trainer has it.
        row = table(file, group).take([pack - starts[group]])
        return {name: row[name][0] for name in row.column_names}

    return read


def open_packs(url: str, version: int | None = None) -> Packs:
    """The packs of the newest version of the output at `url`, or of a certain one.

    ConfigError if there is none, or if another lodepack wrote it in another schema.
    """
    if version is None:
        number, content = latest_version(url)
    else:
        address = storage.join(url, "versions", f"{version:06d}.json")
        number, content = version, read_version(address) if storage.exists(address) else None
    if content is None:
        named = "no finished version" if version is None else f"no version {version}"
        raise ConfigError(f"{url} has {named}; the output of a finished run is expected: give the job's `output`")
    if content["schema_version"] != SCHEMA_VERSION:
        raise ConfigError(
            f"{url} has schema version {content['schema_version']}; {SCHEMA_VERSION} expected; "
            "use the lodepack that wrote it, or build it again"
        )
    addresses = [storage.join(url, "manifests", f"{unit}.json") for unit in content["units"]]
    with ThreadPoolExecutor(MANIFEST_THREADS) as threads:
        found = list(threads.map(_data_files, addresses))
    sources = {unit: name for name, source in content["sources"].items() for unit in source["units"]}
    entries = [
        (storage.join(url, path), size, rows, sources[unit])
        for unit, files in zip(content["units"], found, strict=True)
        for path, size, rows in files
    ]
    firsts = accumulate((rows for _, _, rows, _ in entries), initial=0)
    files = tuple(
        PackFile(path, size, first, rows, source)
        for (path, size, rows, source), first in zip(entries, firsts, strict=False)
    )
    return Packs(url, number, content["recipe"], tuple(sorted(content["sources"])), files)


def _data_files(manifest_url: str) -> list[tuple[str, int, int]]:
    """Path, bytes and rows of a unit's files with packs; the rest of its manifest is not kept."""
    files = read_manifest(manifest_url)["files"]
    return [(file["path"], file["bytes"], file["rows"]) for file in files if file["kind"] == "data" and file["rows"]]

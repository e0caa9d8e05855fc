"""A finished output as a reader sees it: versions and manifests first, then only the columns that are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.profiles import Profile
from operators.tokenizers import Tokenizer
from operators.tokenizers.opening import open_tokenizer
from pipeline import storage
from pipeline.errors import ConfigError, LodepackError, StorageError
from pipeline.operator import Row
from pipeline.planning import version_numbers, version_url
from pipeline.records import read_last_run, read_manifest, read_version
from pipeline.schema import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Output:
    """One version of a data set."""

    url: str
    number: int
    version: dict[str, Any]

    @property
    def units(self) -> list[str]:
        return list(self.version["units"])

    @property
    def recipe(self) -> dict[str, Any]:
        return dict(self.version["recipe"])

    @property
    def sequence_length(self) -> int:
        return int(self.recipe["job"]["sequence_length"])

    @property
    def num_packs(self) -> int:
        return int(self.version["totals"].get("tokens", {}).get("packs", 0))

    def manifest(self, unit: str) -> dict[str, Any]:
        return read_manifest(storage.join(self.url, "manifests", f"{unit}.json"))

    def files(self, unit: str) -> dict[str, list[str]]:
        """Paths of a unit's files by kind: data, index, rejects."""
        paths: dict[str, list[str]] = {"data": [], "index": [], "rejects": []}
        for file in self.manifest(unit)["files"]:
            paths[file["kind"]].append(file["path"])
        return paths

    def newest_run(self) -> dict[str, Any]:
        """The record of the run that was started last; empty if runs/ was not kept."""
        return read_last_run(self.url)

    def read(self, path: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a whole file; name nested ones by their Parquet path."""
        with self._open(path) as file:
            return file.read(columns=list(columns))

    def tables(self, path: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of a file, one row group in memory; name nested ones by their Parquet path."""
        with self._open(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(columns))

    def rows(self, path: str, columns: Sequence[str], start: int = 0) -> Iterator[Row]:
        """Rows of a file from number `start` on, one row group in memory; lists of numbers are numpy arrays."""
        with self._open(path) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if start < size:
                    table = file.read_row_group(group, columns=list(columns))
                    for i in range(start, size):
                        yield {name: _value(table[name][i]) for name in table.column_names}
                start = max(0, start - size)

    @contextmanager
    def _open(self, path: str) -> Iterator[pq.ParquetFile]:
        url = storage.join(self.url, path)
        with storage.open_input(url) as (stream, _):
            try:
                yield pq.ParquetFile(stream)
            except (pa.ArrowInvalid, OSError) as error:
                raise StorageError(f"{url} is damaged: {error}; list what is wrong with: lodepack verify") from error


def open_output(url: str, number: int | None = None) -> Output:
    """The newest version of the output at `url`, or a certain one. ConfigError if there is none that is finished."""
    if not storage.exists(storage.join(url, "versions")):
        if storage.exists(storage.join(url, "runs")):
            raise ConfigError(f"{url} has no finished version yet; let its job run to the end: lodepack run JOB.yaml")
        found = f"{url} has no versions/" if storage.exists(url) else f"there is nothing at {url}"
        raise ConfigError(f"{found}; the output of a finished run is expected: give the job's `output`")
    numbers = version_numbers(url)
    if not numbers:
        raise ConfigError(f"{url} has no finished version yet; let its job run to the end: lodepack run JOB.yaml")
    if number is not None and number not in numbers:
        raise ConfigError(f"{url} has no version {number}; choose one of {spans(numbers)}")
    chosen = numbers[-1] if number is None else number
    version = read_version(version_url(url, chosen))
    if version["schema_version"] != SCHEMA_VERSION:
        raise ConfigError(
            f"{url} has schema version {version['schema_version']}; {SCHEMA_VERSION} expected; "
            "use the lodepack that wrote it, or build it again"
        )
    return Output(url, chosen, version)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers for people: `1 to 3, 7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def load_tokenizer(output: Output) -> tuple[Tokenizer | None, str]:
    """The tokenizer that the output was built with; or None and why its text cannot be shown."""
    url = output.newest_run().get("tokenizer")
    if url is None:
        return None, "runs/ does not say which tokenizer was used"
    try:
        model = storage.read_bytes(url)
        if hashlib.sha256(model).hexdigest() != output.recipe["tokenizer"]["sha256"]:
            return None, f"tokenizer {url} has changed since the data was built"
        profile = Profile(about="", **output.recipe["profile"])
        return open_tokenizer(
            model, profile.tokens.literals(), url, profile.tokenizer_pattern, profile.reserved_ids
        ), ""
    except LodepackError as error:
        return None, f"tokenizer {error}"


def _value(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if pa.types.is_list(kind) and pa.types.is_integer(kind.value_type) and scalar.is_valid:
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()

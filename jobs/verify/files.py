"""The records and files of an output: there, whole, named by their content, and adding up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from jobs.verify.findings import Report
from jobs.verify.records import File, Manifest, Recipe, Record, Version, closing_id, recipe_id, unit_id
from jobs.verify.sources import add, check_sources
from jobs.verify.structure import structure_faults
from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.schema import INDEX, REJECTS, SCHEMA_VERSION, pack_schema

R = TypeVar("R", bound=Record)
KINDS = ("data", "index", "rejects")


def open_version(output: str) -> tuple[int, Version]:
    """The highest version. ConfigError where there is none, or one of another schema."""
    names = [name for name in storage.list_names(storage.join(output, "versions")) if name.endswith(".json")]
    numbers = {int(stem): name for name in names if (stem := name.removesuffix(".json")).isdigit()}
    if not numbers:
        raise ConfigError(
            f"{output} holds no finished data set (versions/000001.json); give the output of a lodepack run"
        )
    number = max(numbers)
    path = f"versions/{numbers[number]}"
    try:
        version = _read(output, path, Version)
    except (StorageError, ValueError) as error:
        raise ConfigError(f"{path} of {output} is no version: {_one_line(error)}; build the output again") from error
    if version.schema_version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path} of {output} has schema version {version.schema_version}; this lodepack reads {SCHEMA_VERSION}"
        )
    return number, version


def check_records(output: str, number: int, version: Version, report: Report) -> list[Manifest]:
    """The version against its manifests: ids, recipes, shards, sums. Returns the manifests that can be read."""
    where = f"versions/{number:06d}.json"
    report.expect(where, "units", list(version.units), sorted(set(version.units)))
    report.expect(where, "recipe_id", version.recipe_id, recipe_id(version.recipe))
    manifests: list[Manifest] = []
    for unit in dict.fromkeys(version.units):
        path = f"manifests/{unit}.json"
        try:
            manifest = _read(output, path, Manifest)
        except (StorageError, ValueError) as error:
            report.add(path, f"no manifest, which {where} names: {_one_line(error)}")
            continue
        _check_manifest(path, unit, manifest, report)
        manifests.append(manifest)
    _check_disjoint(where, version, manifests, report)
    check_sources(where, version, manifests, report)
    totals: dict[str, dict[str, int]] = {}
    for manifest in manifests:
        for section, counts in manifest.counts.items():
            totals[section] = add(totals.get(section, {}), counts)
    reasons: dict[str, int] = {}
    for manifest in manifests:
        reasons = add(reasons, manifest.reasons)
    report.expect(where, "totals", version.totals, totals)
    report.expect(where, "reasons", version.reasons, reasons)
    report.checked["units"] = len(manifests)
    return manifests


def _check_manifest(path: str, unit: str, manifest: Manifest, report: Report) -> None:
    report.expect(path, "unit", manifest.unit, unit)
    if manifest.closes is None:
        report.expect(path, "unit", manifest.unit, unit_id(manifest.inputs, manifest.recipe_id))
    else:
        report.expect(path, "unit", manifest.unit, closing_id(manifest.closes, manifest.recipe_id))
        report.expect(path, "inputs of a closing unit", manifest.inputs, ())
    report.expect(path, "schema_version", manifest.schema_version, SCHEMA_VERSION)
    report.expect(path, "recipe_id", manifest.recipe_id, recipe_id(manifest.recipe))
    names = [entry.shard for entry in manifest.inputs]
    report.expect(path, "order of inputs", names, sorted(set(names)))


def _check_disjoint(where: str, version: Version, manifests: Sequence[Manifest], report: Report) -> None:
    owners: dict[str, str] = {}
    for manifest in manifests:
        for entry in manifest.inputs:
            other = owners.setdefault(entry.shard, manifest.unit)
            if other != manifest.unit:
                report.add(where, f"shard {entry.shard} is in units {other} and {manifest.unit}; one expected")
    for name in sorted(owners.keys() & set(version.withheld_shards)):
        report.add(where, f"shard {name} is withheld and in unit {owners[name]}; one of both expected")


def check_files(output: str, manifest: Manifest, recipe: Recipe, report: Report) -> bool:
    """Whether every file of a unit is there with the bytes, rows, name and schema that it should have."""
    before = len(report.findings)
    data = pack_schema(
        fractional=recipe.profile.positions.fractional,
        weighted=recipe.job.loss_weights is not None,
        aligned=recipe.job.pack.align > 1,
        reduced=bool(recipe.job.reduce),
    )
    schemas = {"data": data, "index": INDEX, "rejects": REJECTS}
    kinds = {kind: len(manifest.paths(kind)) for kind in ("index", "rejects")}
    expected = {"index": int(manifest.closes is None), "rejects": 1}
    report.expect(manifest.where, "number of index and rejects files", kinds, expected)
    for kind in KINDS:
        for number, file in enumerate(manifest.paths(kind)):
            middle = f"-{number:04d}" if kind == "data" else ""
            name = f"{kind}/{manifest.unit}{middle}-{file.sha256[:8]}.parquet"
            report.expect(manifest.where, f"path of {kind} file {number}", file.path, name)
            _check_file(output, file, schemas[kind], report)
    paths = [file.path for file in manifest.files]
    report.expect(manifest.where, "order of files", paths, sorted(paths))
    report.checked["files"] += len(manifest.files)
    return len(report.findings) == before


def _check_file(output: str, file: File, schema: pa.Schema, report: Report) -> None:
    url = storage.join(output, file.path)
    try:
        with storage.open_input(url) as (_, size):
            sha256 = storage.hash_file(url)
    except StorageError as error:
        report.add(file.path, f"cannot be read: {_one_line(error)}")
        return
    if not report.expect(file.path, "bytes", size, file.bytes) or not report.expect(
        file.path, "sha256", sha256, file.sha256
    ):
        return
    try:
        with storage.open_input(url) as (stream, _), pq.ParquetFile(stream) as parquet:
            if not report.expect(file.path, "rows", parquet.metadata.num_rows, file.rows):
                return
            if not _has_schema(file, parquet.schema_arrow, schema, report):
                return
            faults = {fault: None for batch in parquet.iter_batches() for fault in structure_faults(batch)}
    except (pa.ArrowException, OSError) as error:
        report.add(file.path, f"is no Parquet file: {_one_line(error)}")
        return
    for fault in faults:
        report.add(file.path, fault)


def _has_schema(file: File, schema: pa.Schema, expected: pa.Schema, report: Report) -> bool:
    if schema.equals(expected):
        return True
    types = dict(zip(schema.names, schema.types, strict=True))
    wanted = dict(zip(expected.names, expected.types, strict=True))
    names = [name for name in types | wanted if types.get(name) != wanted.get(name)]
    report.add(file.path, f"schema of a {file.kind} file expected; other in {', '.join(names) or 'order'}")
    return False


def list_orphans(output: str) -> list[str]:
    """Files of the data set that no manifest of the output names: left by runs that were killed, and harmless."""
    named: set[str] = set()
    for name in storage.list_names(storage.join(output, "manifests")):
        try:
            named |= {file.path for file in _read(output, f"manifests/{name}", Manifest).files}
        except ValueError:
            continue  # a broken manifest of this version is a finding already; of another, none of ours
    found = [f"{kind}/{name}" for kind in KINDS for name in storage.list_names(storage.join(output, kind))]
    return [path for path in found if path not in named]


def _read(output: str, path: str, kind: type[R]) -> R:
    try:
        return kind.model_validate(json.loads(storage.read_bytes(storage.join(output, path))))
    except RecursionError as error:
        raise ValueError("lists or objects nested too deep") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors())
    return " ".join(str(error).split())

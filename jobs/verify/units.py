"""What one unit says became of each sample: its index, its rejects, and the parts in its packs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.verify.findings import Report
from jobs.verify.reasons import FILTER, reason_faults
from jobs.verify.records import Manifest
from pipeline import storage
from pipeline.errors import Reason

Row = dict[str, Any]
Id = tuple[str, int]
"""Shard and ordinal."""
Place = tuple[str, int, int]
Cause = tuple[str, str, tuple[str, ...]]
"""Reason, detail and broken rules."""
LATE = "write"
"""The operator that alone may reject a sample that was measured: damage that only full decoding shows."""


@dataclass(slots=True)
class Rejected:
    """One sample in the rejects."""

    key: str
    operator: str
    place: Place
    """Member, offset and size that its row names."""
    segments: dict[int, Place] = field(default_factory=dict)
    """The same of each of its segments, by their numbers in the document."""
    dropped: set[int] = field(default_factory=set)
    """Those that a filter took out before it was rejected by another operator."""


@dataclass(slots=True)
class Packed:
    """The copies of one sample that packs hold."""

    key: str
    num_parts: int
    copies: dict[int, dict[int, int]] = field(default_factory=dict)
    """For each copy, length by part."""

    @property
    def lengths(self) -> dict[int, int]:
        """Length by part, the same in every copy of a whole sample."""
        return next(iter(self.copies.values()), {})

    @property
    def is_whole(self) -> bool:
        """Whether every part of every copy is there, and no copy is cut otherwise than another."""
        parts = list(range(self.num_parts))
        return all(sorted(lengths) == parts and lengths == self.lengths for lengths in self.copies.values())

    def span(self, part: int) -> tuple[int, int]:
        """First and one past the last of the document's tokens that `part` holds."""
        start = sum(self.lengths[i] for i in range(part))
        return start, start + self.lengths[part]


@dataclass(slots=True)
class Contents:
    """A unit in memory: everything but its packs' tokens and pixels. Packs are read one row group at a time."""

    manifest: Manifest
    index: pa.Table
    rows: dict[Id, int]
    rejected: dict[Id, Rejected]
    dropped: dict[Id, dict[int, Place]]
    """Of samples that a filter took segments out of: their places, by their numbers in the document."""
    causes: dict[tuple[Id, int], Cause]
    """Why a filter dropped a segment, by its number in the document."""
    packed: dict[Id, Packed]
    carried: frozenset[Id]
    """Samples that the unit hands on to the closing unit."""

    def row(self, identity: Id) -> Row | None:
        """The sample's row of the index, if it was measured."""
        number = self.rows.get(identity)
        return None if number is None else self.index.slice(number, 1).to_pylist()[0]


def name_of(identity: Id, key: str) -> str:
    """A sample as findings name it."""
    return f"{identity[0]} sample {identity[1]} ({key})"


def read_unit(output: str, manifest: Manifest, report: Report, carried: pa.Table | None = None) -> Contents:
    """The contents of a unit whose files are sound; what contradicts itself in them is a finding.

    carried: for a closing unit, the index rows of the documents that other units carry.
    """
    (rejects_file,) = manifest.paths("rejects")
    if carried is None:
        (index_file,) = manifest.paths("index")
        index = _read_table(output, index_file.path)
    else:
        index = carried
    ids = [_id(row) for row in index["id"].to_pylist()]
    if carried is None and (len(set(ids)) < len(ids) or ids != sorted(ids)):
        report.add(index_file.path, "rows are not in the order of shard and ordinal, each once")
    rejected, dropped, causes = _read_rejects(output, rejects_file.path, manifest, report)
    packed: dict[Id, Packed] = {}
    for where, samples in _pack_samples(output, manifest):
        for sample in samples:
            _admit(where, sample, packed, report)
    for identity, entry in packed.items():
        for copy, lengths in sorted(entry.copies.items()):
            name = name_of(identity, entry.key)
            if sorted(lengths) != list(range(entry.num_parts)):
                found = f"parts {sorted(lengths)}{_of(copy)} are packed"
                report.add(name, f"{found}; 0 to {entry.num_parts - 1} expected, each once")
            elif lengths != entry.lengths:
                report.add(name, f"copy {copy} is cut otherwise than another; copies that are alike expected")
    rows = {identity: number for number, identity in enumerate(ids)}
    # A closing unit carries nothing on; what the flags of its rows say is of the units that they come from.
    flags = index["carried"].to_pylist() if carried is None else [False] * len(ids)
    onward = frozenset(identity for identity, flag in zip(ids, flags, strict=True) if flag)
    return Contents(manifest, index, rows, rejected, dropped, causes, packed, onward)


def _read_table(output: str, path: str) -> pa.Table:
    with storage.open_input(storage.join(output, path)) as (stream, _):
        return pq.read_table(stream)


def _pack_samples(output: str, manifest: Manifest) -> Iterator[tuple[str, list[Row]]]:
    for file in manifest.paths("data"):
        with storage.open_input(storage.join(output, file.path)) as (stream, _), pq.ParquetFile(stream) as parquet:
            for batch in parquet.iter_batches(columns=["pack_id", "samples"]):
                for row in batch.to_pylist():
                    yield f"{file.path} pack {row['pack_id']}", row["samples"] or []


def _admit(where: str, sample: Row, packed: dict[Id, Packed], report: Report) -> None:
    identity, key = _id(sample["id"]), sample["id"]["key"]
    entry = packed.setdefault(identity, Packed(key, sample["num_parts"]))
    name = name_of(identity, key)
    if (entry.key, entry.num_parts) != (key, sample["num_parts"]):
        report.add(where, f"{name} has {sample['num_parts']} parts; {entry.key} with {entry.num_parts} expected")
    lengths = entry.copies.setdefault(sample["copy"], {})
    if sample["part"] in lengths:
        report.add(where, f"part {sample['part']}{_of(sample['copy'])} of {name} is packed twice")
    lengths[sample["part"]] = sample["length"]


def _of(copy: int) -> str:
    return f" of copy {copy}" if copy else ""


def _read_rejects(
    output: str, path: str, manifest: Manifest, report: Report
) -> tuple[dict[Id, Rejected], dict[Id, dict[int, Place]], dict[tuple[Id, int], Cause]]:
    """Rejected samples, the segments that were dropped of others, and why filters dropped any."""
    rejected: dict[Id, Rejected] = {}
    dropped: dict[Id, dict[int, Place]] = {}
    causes: dict[tuple[Id, int], Cause] = {}
    reasons: Counter[str] = Counter()
    for row in _read_table(output, path).to_pylist():
        identity, key = _id(row["id"]), row["id"]["key"]
        name = name_of(identity, key)
        if row["reason"] not in set(Reason):
            report.add(path, f"{name} has the reason {row['reason']}, which is none of the closed list")
        report.expect(path, f"shard of {name}", row["shard"], identity[0])
        what = name if row["segment"] is None else f"segment {row['segment']} of {name}"
        for fault in reason_faults(row, manifest.recipe):
            report.add(path, f"{what} {fault}")
        if row["level"] == "segment" and row["operator"] == FILTER:
            causes[identity, row["segment"]] = (row["reason"], row["detail"], tuple(row["rules"]))
        place = (row["member"], row["offset"], row["size"])
        if row["level"] == "sample":
            reasons[row["reason"]] += 1
            if identity in rejected:
                report.add(path, f"{name} is rejected twice")
            rejected[identity] = Rejected(key, row["operator"], place)
        elif row["level"] == "segment" and identity in rejected:
            segments = rejected[identity].segments
            if row["segment"] <= max(segments, default=-1):
                report.add(path, f"segment {row['segment']} of {name} is out of order; each once, from 0 on expected")
            segments[row["segment"]] = place
            if row["operator"] == FILTER != rejected[identity].operator:
                rejected[identity].dropped.add(row["segment"])
        elif row["level"] == "segment" and row["operator"] == FILTER:
            dropped.setdefault(identity, {})[row["segment"]] = place
        else:
            report.add(path, f"{name} has a row of level {row['level']} before its own of level sample")
    report.expect(manifest.where, "reasons", manifest.reasons, dict(reasons))
    return rejected, dropped, causes


def _id(row: Row) -> Id:
    return row["shard"], row["ordinal"]

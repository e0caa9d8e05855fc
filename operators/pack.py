"""Gathers one unit at a time, orders it by shard and ordinal, and assigns its documents to sequences.

Sees lengths only. Arrival order is never trusted, and neither is this actor's memory: a unit closes when every
ordinal of every one of its shards has arrived exactly once. An actor that was killed half way comes back empty,
closes nothing it did not see whole, and the runner runs the unit again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from operators.fitting import PATCHES, Document, Fitter, PackConfig
from operators.ordering import order_by_load
from operators.packing import bound, pack_items
from operators.vocabulary import Vocabulary
from pipeline import ledger
from pipeline.errors import InputError, StorageError
from pipeline.operator import Row
from pipeline.schema import MEASURED, RELEVANCES
from pipeline.tasks import DATA, INDEX, PACKS_PER_FILE, SUMMARY, TASK, task
from pipeline.types import Rejection
from pipeline.units import unit_id


@dataclass(slots=True)
class _Gathering:
    """A unit on its way: tables as they came, and which ordinals of which shard they held."""

    tables: list[pa.Table] = field(default_factory=list)
    ends: dict[int, Row] = field(default_factory=dict)
    seen: dict[int, set[int]] = field(default_factory=dict)

    def is_whole(self, num_shards: int) -> bool:
        return len(self.ends) == num_shards and all(
            len(seen) == end["rows"] and max(seen, default=-1) < end["rows"]
            for shard, end in self.ends.items()
            for seen in [self.seen.get(shard, set())]
        )


class Pack:
    """Emits the tasks of a unit (files to write, and a summary) once the unit is whole."""

    name = "pack"
    version = 5

    def __init__(
        self,
        config: PackConfig,
        sequence_length: int,
        vocabulary: Vocabulary,
        units: Mapping[int, Mapping[str, str]],
        recipe: str,
        takes: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """units: for each unit number the URL of each of its shards, by name in order; recipe: its hash.

        takes: in a limited run, for each unit number the samples taken of each of its shards.
        """
        self._fitter = Fitter(config, sequence_length, vocabulary)
        self._units = units
        self._recipe = recipe
        self._takes = takes or {}
        self._gathering: dict[int, _Gathering] = {}
        self._closed: set[int] = set()

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        table = _measured(table)
        for unit in pc.unique(table["unit"]).to_pylist():
            if unit in self._closed:
                continue
            gathering = self._gathering.setdefault(unit, _Gathering())
            self._admit(gathering, table.filter(pc.equal(table["unit"], unit)))
            if gathering.is_whole(len(self._units[unit])):
                self._closed.add(unit)
                yield from self._close(unit, self._gathering.pop(unit))

    def _admit(self, gathering: _Gathering, table: pa.Table) -> None:
        """Takes the rows not seen yet: a retried task may bring some again."""
        fresh: list[bool] = []
        for row in table.select(["shard_number", "ordinal", "shard_end"]).to_pylist():
            shard, ordinal, end = row["shard_number"], row["ordinal"], row["shard_end"]
            if end is not None:
                if gathering.ends.setdefault(shard, end) != end:
                    raise StorageError(f"shard {shard} of a unit changed while it was read; run the job again")
                fresh.append(False)
                continue
            seen = gathering.seen.setdefault(shard, set())
            fresh.append(ordinal not in seen)
            seen.add(ordinal)
        gathering.tables.append(table.filter(pa.array(fresh, pa.bool_())))

    def _close(self, unit: int, gathering: _Gathering) -> Iterator[pa.Table]:
        names = list(self._units[unit])
        ends = [gathering.ends[number] for number in range(len(names))]
        take = self._takes.get(unit)
        hashes = [(name, end["sha256"]) for name, end in zip(names, ends, strict=True)]
        identity = unit_id(hashes, self._recipe, take)
        table = pa.concat_tables(gathering.tables).sort_by([("shard_number", "ascending"), ("ordinal", "ascending")])
        rejects: list[Row] = []
        documents: list[Document] = []
        counts = {ledger.SAMPLE: {"read": 0, "withheld": 0}, ledger.SEGMENT: {"read": 0, "withheld": 0}}
        for number, row in enumerate(_lengths_only(table)):
            outcome = self._judge(number, row)
            for level, amount in ((ledger.SAMPLE, 1), (ledger.SEGMENT, len(row["segments"]))):
                counts[level]["read"] += amount
                counts[level]["withheld"] += amount if row["withheld"] else 0
            if isinstance(outcome, Document):
                documents.append(outcome)
            elif outcome is not None:
                rejects += ledger.reject_rows(row, outcome)
        items = [(document, i) for document in documents for i in range(len(document.parts))]
        sizes = [document.sizes[i] for document, i in items]
        packs = pack_items(sizes, self._fitter.limits, even=PATCHES)
        loads = [sum(sizes[i][PATCHES] for i in pack) for pack in packs]
        packs = [packs[number] for number in order_by_load(loads, PACKS_PER_FILE, identity)]
        summary: Row = {
            "inputs": [_input(name, end) for name, end in zip(names, ends, strict=True)],
            "counts": counts,
            "rejects": rejects,
            "packs": {
                "planned": len(packs),
                "bound": bound(sizes, self._fitter.limits),
                "split": sum(len(d.parts) > 1 for d in documents),
            },
            "reports": 2 + -(-len(packs) // PACKS_PER_FILE),
        }
        if take is not None:
            summary["inputs"] = [entry | {"take": n} for entry, n in zip(summary["inputs"], take, strict=True)]
        shards = dict(self._units[unit])
        for start in range(0, len(packs), PACKS_PER_FILE):
            chunk = [[items[i] for i in pack] for pack in packs[start : start + PACKS_PER_FILE]]
            yield _one(self._data_task(unit, identity, start, chunk, table, shards))
        chosen = table.take(pa.array([document.row for document in documents], pa.int64()))
        note = {"lengths": [document.total() for document in documents]}
        yield _one(task(unit, identity, INDEX, 0, note, chosen))
        yield _one(task(unit, identity, SUMMARY, 0, summary, chosen.slice(0, 0)))

    def _judge(self, number: int, row: Row) -> Document | Rejection | Row | None:
        """What becomes of one row: a document with its parts, a rejection, or None if it is withheld."""
        if row["rejection"] is not None:
            return dict(row["rejection"])
        if row["withheld"]:
            return None
        try:
            return self._fitter.fit(number, row)
        except InputError as error:
            return Rejection.from_error(self.name, error)

    def _data_task(
        self,
        unit: int,
        identity: str,
        first: int,
        packs: list[list[tuple[Document, int]]],
        table: pa.Table,
        shards: dict[str, str],
    ) -> Row:
        rows = sorted({document.row for pack in packs for document, _ in pack})
        place = {row: i for i, row in enumerate(rows)}
        note = {
            "first": first,
            "packs": [
                [
                    [place[document.row], part.first, part.last, part.number, part.count]
                    for document, i in pack
                    for part in [document.parts[i]]
                ]
                for pack in packs
            ],
            "shards": shards,
        }
        return task(unit, identity, DATA, first // PACKS_PER_FILE, note, table.take(pa.array(rows, pa.int64())))


def _input(name: str, end: Row) -> Row:
    """A shard as the manifest names it."""
    return {
        "shard": name,
        "sha256": end["sha256"],
        "bytes": end["bytes"],
        "samples": end["rows"],
        "ignored": end["ignored"],
    }


def _measured(table: pa.Table) -> pa.Table:
    """The table in MEASURED's columns; without scoring its relevances are empty."""
    if "relevances" not in table.column_names:
        table = table.append_column(RELEVANCES, pa.array([[]] * table.num_rows, RELEVANCES.type))
    return table.select(MEASURED.names)


def _lengths_only(table: pa.Table) -> Iterator[Row]:
    """Rows with what lengths need, in small batches, so that a large unit is never one Python object."""
    for batch in table.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            row["patches"] = [
                sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in plan["views"]) for plan in row["plans"]
            ]
            row["tiles"] = [len(plan["views"]) for plan in row["plans"]]
            yield row


def _one(row: Row) -> pa.Table:
    return pa.Table.from_pylist([row], schema=TASK)

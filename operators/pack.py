"""Gathers one unit at a time, orders it by shard and ordinal, and assigns its documents to sequences.

Sees lengths only. Arrival order is never trusted, and neither is this actor's memory: a unit closes when every
ordinal of every one of its shards has arrived exactly once. An actor that was killed half way comes back empty,
closes nothing it did not see whole, and the runner runs the unit again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.assign import Planned, assign, data_tasks, index_task, num_files, summary_task
from operators.duplicates import Duplicates
from operators.filters import DedupConfig
from operators.fitting import Document, Fitter, PackConfig
from operators.vocabulary import Vocabulary
from pipeline import ledger
from pipeline.copies import num_copies
from pipeline.derived import original_of, view_of
from pipeline.errors import InputError, StorageError
from pipeline.operator import Row
from pipeline.schema import MEASURED, REDUCTIONS, RELEVANCES
from pipeline.tasks import plan_of
from pipeline.types import Rejection
from pipeline.units import unit_id


@dataclass(slots=True)
class _Gathering:
    """A unit on its way: tables as they came, and which ordinals of which shard they held."""

    tables: list[pa.Table] = field(default_factory=list)
    ends: dict[int, Row] = field(default_factory=dict)
    seen: dict[int, set[int]] = field(default_factory=dict)
    """Ordinals of samples that were read."""
    derived: dict[int, set[int]] = field(default_factory=dict)
    """Ordinals of those made of them."""
    num_derived: Counter[int] = field(default_factory=Counter)
    """How many there must be, as the samples that have come say."""

    def is_whole(self, num_shards: int) -> bool:
        return len(self.ends) == num_shards and all(
            len(seen) == end["rows"]
            and max(seen, default=-1) < end["rows"]
            and len(self.derived.get(shard, ())) == self.num_derived[shard]
            for shard, end in self.ends.items()
            for seen in [self.seen.get(shard, set())]
        )


class Pack:
    """Emits the tasks of a unit (files to write, and a summary) once the unit is whole."""

    name = "pack"
    version = 7

    def __init__(
        self,
        config: PackConfig,
        sequence_length: int,
        vocabulary: Vocabulary,
        units: Mapping[int, Mapping[str, str]],
        recipes: Mapping[int, str],
        takes: Mapping[int, Sequence[int]] | None = None,
        weights: Mapping[int, float] | None = None,
        older: Mapping[int, Sequence[str]] | None = None,
        dedup: DedupConfig | None = None,
    ) -> None:
        """units: for each unit number the URL of each of its shards, by name in order; recipes: the hash of its recipe.

        takes: in a limited run, for each unit number the samples taken of each of its shards. weights: for each unit
        number that of its source; absent: 1. older: for each unit number that is re-planned, the data files that views
        are copied from. dedup: what a unit may hold once.
        """
        self._fitter = Fitter(config, sequence_length, vocabulary)
        self._carries = config.closing
        self._units = units
        self._recipes = recipes
        self._takes = takes or {}
        self._weights = weights or {}
        self._older = older or {}
        self._dedup = dedup
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
        for row in table.select(["shard_number", "ordinal", "num_derived", "shard_end"]).to_pylist():
            shard, ordinal, end = row["shard_number"], row["ordinal"], row["shard_end"]
            if end is not None:
                if gathering.ends.setdefault(shard, end) != end:
                    raise StorageError(f"shard {shard} of a unit changed while it was read; run the job again")
                fresh.append(False)
                continue
            held = gathering.derived if view_of(ordinal) else gathering.seen
            seen = held.setdefault(shard, set())
            fresh.append(ordinal not in seen)
            if fresh[-1]:
                seen.add(ordinal)
                gathering.num_derived[shard] += row["num_derived"]
        gathering.tables.append(table.filter(pa.array(fresh, pa.bool_())))

    def _close(self, unit: int, gathering: _Gathering) -> Iterator[pa.Table]:
        names = list(self._units[unit])
        ends = [gathering.ends[number] for number in range(len(names))]
        take = self._takes.get(unit)
        hashes = [(name, end["sha256"]) for name, end in zip(names, ends, strict=True)]
        identity = unit_id(hashes, self._recipes[unit], take)
        table = pa.concat_tables(gathering.tables).sort_by([("shard_number", "ascending"), ("ordinal", "ascending")])
        rejects: list[Row] = []
        documents: list[Document] = []
        copies: dict[int, int] = {}
        num_segments: list[int] = []
        levels = (ledger.SAMPLE, ledger.SEGMENT)
        counts = {level: dict.fromkeys(("read", "derived", "withheld", "repeated", "carried"), 0) for level in levels}
        duplicates = Duplicates(self._dedup) if self._dedup is not None else None
        for number, row in enumerate(with_loads(table)):
            outcome = self._judge(number, row, duplicates)
            more = 0
            rejects += ledger.dropped_rows(row)
            if isinstance(outcome, Document):
                documents.append(outcome)
                ordinal = original_of(row["ordinal"])
                copies[number] = num_copies(row["shard"], ordinal, self._weights.get(unit, 1.0))
                more = copies[number] - 1
            elif outcome is not None:
                rejects += ledger.reject_rows(row, outcome)
            num_segments.append(len(row["segments"]))
            came = "derived" if view_of(row["ordinal"]) else "read"
            for level, amount, num_dropped in zip(levels, (1, num_segments[-1]), (0, len(row["dropped"])), strict=True):
                counts[level][came] += amount + num_dropped
                counts[level]["withheld"] += amount if row["withheld"] else 0
                counts[level]["repeated"] += amount * more
        assigned = assign(documents, copies, self._fitter.limits, identity, carries=self._carries)
        for document in assigned.carried:
            counts[ledger.SAMPLE]["carried"] += 1
            counts[ledger.SEGMENT]["carried"] += num_segments[document.row]
        summary: Row = {
            "inputs": [_input(name, end) for name, end in zip(names, ends, strict=True)],
            "counts": counts,
            "rejects": rejects,
            "packs": assigned.figures,
            "reports": 2 + num_files(assigned),
        }
        if take is not None:
            summary["inputs"] = [entry | {"take": n} for entry, n in zip(summary["inputs"], take, strict=True)]
        of = Planned(unit, identity, plan_of(summary))
        yield from data_tasks(of, table, assigned, dict(self._units[unit]), self._older.get(unit, ()))
        yield index_task(of, table, documents, assigned)
        yield summary_task(of, summary, table)

    def _judge(self, number: int, row: Row, duplicates: Duplicates | None) -> Document | Rejection | Row | None:
        """What becomes of one row: a document with its parts, a rejection, or None if it is withheld."""
        if row["rejection"] is not None:
            return dict(row["rejection"])
        if row["withheld"]:
            return None
        try:
            if duplicates is not None:
                duplicates.admit(row)
            return self._fitter.fit(number, row)
        except InputError as error:
            return Rejection.from_error(self.name, error)


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
    """The table in MEASURED's columns; those that nobody made are empty."""
    for column in (RELEVANCES, REDUCTIONS):
        if column.name not in table.column_names:
            table = table.append_column(column, pa.array([[]] * table.num_rows, column.type))
    return table.select(MEASURED.names)


def with_loads(table: pa.Table) -> Iterator[Row]:
    """Rows with the patches and tiles of each image, in small batches: a large unit is never one Python object.

    Without `relevances`, which say nothing of lengths and are a third of what is to be converted, and of `reductions`
    the counts alone.
    """
    for batch in table.drop_columns(["relevances"]).to_batches(max_chunksize=256):
        place = batch.schema.get_field_index("reductions")
        for row in batch.set_column(place, "reductions", _counts(batch["reductions"])).to_pylist():
            row["patches"] = [
                sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in plan["views"]) for plan in row["plans"]
            ]
            row["tiles"] = [len(plan["views"]) for plan in row["plans"]]
            yield row


def _counts(reductions: pa.ListArray) -> pa.ListArray:
    """Of each reduction how many tokens there were, and how many have a place; null where there is none."""
    values = reductions.flatten()
    names = ("num_tokens", "num_kept")
    counts = pa.StructArray.from_arrays([values.field(name) for name in names], names, mask=values.is_null())
    lengths = pc.fill_null(pc.list_value_length(reductions), 0).to_numpy(zero_copy_only=False)
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), counts)

"""Gathers one unit at a time, orders it by shard and ordinal, and assigns its documents to sequences.

Sees lengths only. Arrival order is never trusted, and neither is this actor's memory: a unit closes when every
ordinal of every one of its shards has arrived exactly once. An actor that was killed half way comes back empty,
closes nothing it did not see whole, and the runner runs the unit again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from operators.assign import Planned, assign, data_tasks, empty_lists, index_task, num_files, summary_task
from operators.duplicates import Duplicates
from operators.filters import DedupConfig
from operators.fitting import Document, Fitter, PackConfig
from operators.gathering import Gathering
from operators.judging import Judged
from operators.vocabulary import Vocabulary
from pipeline import ledger
from pipeline.copies import num_copies
from pipeline.derived import original_of
from pipeline.operator import Row
from pipeline.schema import MEASURED, REDUCTIONS, RELEVANCES
from pipeline.tasks import plan_of
from pipeline.units import unit_id


class Pack:
    """Emits the tasks of a unit (files to write, and a summary) once the unit is whole."""

    name = "pack"
    version = 8

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
        self._gathering: dict[int, Gathering] = {}
        self._closed: set[int] = set()

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        table = _measured(table)
        units = pc.unique(table["unit"]).to_pylist()
        for unit in units:
            if unit in self._closed:
                continue
            gathering = self._gathering.setdefault(unit, Gathering(len(self._units[unit])))
            gathering.admit(table if len(units) == 1 else table.filter(pc.equal(table["unit"], unit)))
            if gathering.is_whole():
                self._closed.add(unit)
                yield from self._close(unit, self._gathering.pop(unit))

    def _close(self, unit: int, gathering: Gathering) -> Iterator[pa.Table]:
        names = list(self._units[unit])
        ends = [gathering.ends[number] for number in range(len(names))]
        take = self._takes.get(unit)
        hashes = [(name, end["sha256"]) for name, end in zip(names, ends, strict=True)]
        identity = unit_id(hashes, self._recipes[unit], take)
        table = gathering.take()
        judged = Judged(table, self._fitter, Duplicates(self._dedup) if self._dedup is not None else None)
        copies = self._copies(unit, table, judged.documents)
        counts = judged.counts(copies)
        assigned = assign(judged.documents, copies, self._fitter.limits, identity, carries=self._carries)
        for document in assigned.carried:
            counts[ledger.SAMPLE]["carried"] += 1
            counts[ledger.SEGMENT]["carried"] += document.parts[-1].last
        summary: Row = {
            "inputs": [_input(name, end) for name, end in zip(names, ends, strict=True)],
            "counts": counts,
            "rejects": judged.rejects,
            "packs": assigned.figures,
            "reports": 2 + num_files(assigned),
        }
        if take is not None:
            summary["inputs"] = [entry | {"take": n} for entry, n in zip(summary["inputs"], take, strict=True)]
        of = Planned(unit, identity, plan_of(summary))
        yield from data_tasks(of, table, assigned, dict(self._units[unit]), self._older.get(unit, ()))
        yield index_task(of, table, judged.documents, assigned)
        yield summary_task(of, summary, table)

    def _copies(self, unit: int, table: pa.Table, documents: Sequence[Document]) -> dict[int, int]:
        """Of each document, by its row."""
        weight = self._weights.get(unit, 1.0)
        rows = [document.row for document in documents]
        if weight == 1:
            return dict.fromkeys(rows, 1)
        shards, ordinals = (table[name].to_pylist() for name in ("shard", "ordinal"))
        return {row: num_copies(shards[row], original_of(ordinals[row]), weight) for row in rows}


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
            table = table.append_column(column, empty_lists(column.type, table.num_rows))
    return table.select(MEASURED.names)

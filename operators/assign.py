"""Assigns the documents of a unit to sequences and emits the tasks that write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from operators.fitting import PATCHES, TOKENS, Document
from operators.ordering import order_by_load
from operators.packing import bound, pack_items
from pipeline.operator import Row
from pipeline.tasks import DATA, INDEX, PACKS_PER_FILE, SUMMARY, TASK, task

Item = tuple[Document, int]
"""A document and the number of one of its parts."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Packs in the order of emission, the documents left out of them, and what the manifest says of both."""

    packs: tuple[tuple[Item, ...], ...]
    carried: tuple[Document, ...]
    """Documents of the last, part-filled pack, handed on to the closing unit."""
    figures: dict[str, int]


def assign(documents: Sequence[Document], limits: tuple[int, ...], identity: str, *, carries: bool) -> Assigned:
    """Every part of every document in one pack, or, where `carries`, whole documents among the carried.

    What is carried is the emptiest pack, if it has room left and nothing in it is part of a split document: a sample
    is packed by one unit alone.
    """
    items = [(document, i) for document in documents for i in range(len(document.parts))]
    sizes = [document.sizes[i] for document, i in items]
    packs = pack_items(sizes, limits)
    carried: list[int] = []
    if carries and packs and _may_be_carried([items[i] for i in packs[-1]], limits):
        carried = packs.pop()
    loads = [sum(sizes[i][PATCHES] for i in pack) for pack in packs]
    ordered = [packs[number] for number in order_by_load(loads, PACKS_PER_FILE, identity)]
    return Assigned(
        packs=tuple(tuple(items[i] for i in pack) for pack in ordered),
        carried=tuple(items[i][0] for i in carried),
        figures={
            "planned": len(packs),
            "bound": bound([sizes[i] for pack in packs for i in pack], limits),
            "split": sum(len(document.parts) > 1 for document in documents),
        },
    )


def _may_be_carried(pack: Sequence[Item], limits: tuple[int, ...]) -> bool:
    used = sum(document.sizes[i][TOKENS] for document, i in pack)
    return used < limits[TOKENS] and all(len(document.parts) == 1 for document, _ in pack)


def data_tasks(
    unit: int, identity: str, table: pa.Table, assigned: Assigned, shards: dict[str, str]
) -> Iterator[pa.Table]:
    """The tasks of a unit's data files. table: MEASURED; shards: URL by name."""
    for start in range(0, len(assigned.packs), PACKS_PER_FILE):
        chunk = assigned.packs[start : start + PACKS_PER_FILE]
        yield one_row(_data_task(unit, identity, start, chunk, table, shards))


def index_task(
    unit: int, identity: str, table: pa.Table, documents: Sequence[Document], assigned: Assigned
) -> pa.Table:
    """The task of a unit's index: every document, and whether it is carried."""
    chosen = table.take(pa.array([document.row for document in documents], pa.int64()))
    carried = {document.row for document in assigned.carried}
    note = {
        "lengths": [document.total() for document in documents],
        "carried": [document.row in carried for document in documents],
    }
    return one_row(task(unit, identity, INDEX, 0, note, chosen))


def summary_task(unit: int, identity: str, summary: Mapping[str, Any], table: pa.Table) -> pa.Table:
    """The last task of a unit: what its manifest says beside its files, and how many reports make it complete."""
    return one_row(task(unit, identity, SUMMARY, 0, dict(summary), table.slice(0, 0)))


def num_files(assigned: Assigned) -> int:
    """Data files of a unit."""
    return -(-len(assigned.packs) // PACKS_PER_FILE)


def one_row(row: Row) -> pa.Table:
    return pa.Table.from_pylist([row], schema=TASK)


def _data_task(
    unit: int, identity: str, first: int, packs: Sequence[Sequence[Item]], table: pa.Table, shards: dict[str, str]
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

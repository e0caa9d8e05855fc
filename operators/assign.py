"""Assigns the documents of a unit to sequences and emits the tasks that write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from operators.fitting import PATCHES, TOKENS, Document
from operators.layout import Part
from operators.ordering import order_by_load
from operators.packing import Integers, bound
from operators.packing.apart import Owner, pack_apart
from pipeline.operator import Row
from pipeline.tasks import DATA, INDEX, PACKS_PER_FILE, SUMMARY, task

Item = tuple[Document, Part]
"""A document and one part of one of its copies."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Packs in the order of emission, the documents left out of them, and what the manifest says of both."""

    packs: tuple[tuple[Item, ...], ...]
    carried: tuple[Document, ...]
    """Documents of the last, part-filled pack, handed on to the closing unit."""
    figures: dict[str, int]


def assign(
    documents: Sequence[Document], copies: Mapping[int, int], limits: tuple[int, ...], identity: str, *, carries: bool
) -> Assigned:
    """Every part of every copy of a document in one pack, or, where `carries`, whole documents among the carried.

    copies: of each document, by its row. What is carried is the emptiest pack, if it has room left and every document
    in it is there whole and once: a sample is packed by one unit alone.
    """
    items = [
        (document, part if not copy else replace(part, copy=copy))
        for document in documents
        for copy in range(copies[document.row])
        for part in document.parts
    ]
    sizes = _sizes(documents, copies, len(limits))
    owners = [Owner(document.row, part.copy) for document, part in items]
    packs = pack_apart(owners, sizes, limits, identity, any_emptiest=not carries)
    carried: list[int] = []
    if carries and packs and int(sizes[packs[-1], TOKENS].sum()) < limits[TOKENS]:
        emptiest = [items[i][0] for i in packs[-1]]
        if all(copies[document.row] == len(document.parts) == 1 for document in emptiest):
            carried = packs.pop()
    patches = sizes[:, PATCHES].tolist()
    loads = [sum(patches[i] for i in pack) for pack in packs]
    ordered = [packs[number] for number in order_by_load(loads, PACKS_PER_FILE, identity)]
    return Assigned(
        packs=tuple(tuple(items[i] for i in pack) for pack in ordered),
        carried=tuple(items[i][0] for i in carried),
        figures={
            "planned": len(packs),
            "bound": bound(np.delete(sizes, carried, axis=0), limits),
            "split": sum(len(document.parts) > 1 for document in documents),
        },
    )


def _sizes(documents: Sequence[Document], copies: Mapping[int, int], dimensions: int) -> Integers:
    """The size of every part of every copy [items, dimensions]."""
    each = (size for document in documents for _ in range(copies[document.row]) for size in document.sizes)
    return np.fromiter(chain.from_iterable(each), np.int64).reshape(-1, dimensions)


@dataclass(frozen=True, slots=True)
class Planned:
    """Whose tasks they are: the unit's number and id, and the name of its assignment."""

    unit: int
    identity: str
    plan: str


def data_tasks(
    of: Planned, table: pa.Table, assigned: Assigned, shards: dict[str, str], older: Sequence[str]
) -> Iterator[pa.Table]:
    """The tasks of a unit's data files. table: MEASURED; shards: URL by name; older: data files to copy views from."""
    place, kind = table.schema.get_field_index("relevances"), table.schema.field("relevances")
    # What was budgeted by them stands in the plans; they would be a third of what travels.
    table = table.set_column(place, kind, empty_lists(kind.type, table.num_rows))
    for start in range(0, len(assigned.packs), PACKS_PER_FILE):
        chunk = assigned.packs[start : start + PACKS_PER_FILE]
        yield _data_task(of, start, chunk, table, {"shards": shards, "older": list(older)})


def index_task(of: Planned, table: pa.Table, documents: Sequence[Document], assigned: Assigned) -> pa.Table:
    """The task of a unit's index: every document, and whether it is carried."""
    rows = [document.row for document in documents]
    chosen = table if len(rows) == table.num_rows else table.take(pa.array(rows, pa.int64()))
    carried = {document.row for document in assigned.carried}
    note = {
        "lengths": [document.total() for document in documents],
        "carried": [row in carried for row in rows],
    }
    return _task(of, INDEX, 0, note, chosen)


def summary_task(of: Planned, summary: Mapping[str, Any], table: pa.Table) -> pa.Table:
    """The last task of a unit: what its manifest says beside its files, and how many reports make it complete."""
    return _task(of, SUMMARY, 0, dict(summary), table.slice(0, 0))


def empty_lists(kind: pa.ListType, rows: int) -> pa.ListArray:
    """A column of empty lists."""
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), _nothing(kind.value_type), type=kind)


@cache  # of a struct of structs it takes as long as all else of a small table
def _nothing(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind)


def num_files(assigned: Assigned) -> int:
    """Data files of a unit."""
    return -(-len(assigned.packs) // PACKS_PER_FILE)


def _task(of: Planned, kind: str, number: int, note: Row, payload: pa.Table) -> pa.Table:
    return task(of.unit, of.identity, of.plan, kind, number, note, payload)


def _data_task(of: Planned, first: int, packs: Sequence[Sequence[Item]], table: pa.Table, files: Row) -> pa.Table:
    rows = sorted({document.row for pack in packs for document, _ in pack})
    place = {row: i for i, row in enumerate(rows)}
    note = {
        "first": first,
        "packs": [
            [
                [place[document.row], part.first, part.last, part.number, part.count, part.copy]
                for document, part in pack
            ]
            for pack in packs
        ],
        **files,
    }
    return _task(of, DATA, first // PACKS_PER_FILE, note, table.take(pa.array(rows, pa.int64())))

"""Packs what units handed on: the documents of their last, part-filled sequences, once every unit is committed."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from operators.assign import Planned, assign, data_tasks, num_files, summary_task
from operators.fitting import Document, Fitter
from operators.measured import measured_from_index
from pipeline import ledger
from pipeline.closing import Carried, Closing
from pipeline.errors import InputError
from pipeline.tasks import plan_of


def close(closing: Closing, found: Carried, fitter: Fitter) -> Iterator[pa.Table]:
    """The tasks of a closing unit. It reads no shard: its documents come from the indexes of the units it closes."""
    numbers = {name: number for number, name in enumerate(found.shards)}
    table = measured_from_index(found.rows, closing.number, numbers)
    documents = _documents(table, fitter)
    assigned = assign(documents, dict.fromkeys(range(len(documents)), 1), fitter.limits, closing.unit_id, carries=False)
    taken = {ledger.SAMPLE: len(documents), ledger.SEGMENT: sum(document.parts[-1].last for document in documents)}
    summary = {
        "inputs": [],
        "closes": list(closing.closes),
        "counts": {level: {"repeated": 0, "carried": -amount} for level, amount in taken.items()},
        "rejects": [],
        "packs": assigned.figures,
        "reports": 1 + num_files(assigned),
    }
    of = Planned(closing.number, closing.unit_id, plan_of(summary))
    yield from data_tasks(of, table, assigned, dict(found.shards), found.older)
    yield summary_task(of, summary, table)


def _documents(table: pa.Table, fitter: Fitter) -> list[Document]:
    """Those of all rows: what was handed on fitted before."""
    found: list[Document] = []
    for batch in table.to_batches():
        for document in fitter.fit(batch, range(len(found), len(found) + batch.num_rows)):
            if isinstance(document, InputError):
                raise document
            found.append(document)
    return found

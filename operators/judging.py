"""What becomes of each row of a unit: a document, a rejection, or nothing yet, as it is withheld; and the counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import loads
from operators.duplicates import COLUMNS, Duplicates, with_bytes
from operators.fitting import Document, Fitter
from pipeline import ledger
from pipeline.derived import VIEW_SHIFT
from pipeline.errors import InputError
from pipeline.operator import Row
from pipeline.types import Rejection

OPERATOR = "pack"
BATCH_ROWS = 4096
"""Rows looked at together: what is counted of them takes some tens of megabytes."""
REJECTED = ("shard", "key", "ordinal", "segments", "dropped", "rejection")
"""What the rejects file says of a row."""


class Judged:
    """The documents of a unit's rows, in order, and the rows of REJECTS of the others and of what filters dropped."""

    def __init__(self, table: pa.Table, fitter: Fitter, duplicates: Duplicates | None) -> None:
        """table: MEASURED, in the order of the input."""
        self.documents: list[Document] = []
        self.rejects: list[Row] = []
        self._table = table
        first = 0
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            self._judge(batch, first, fitter, duplicates)
            first += batch.num_rows

    def _judge(self, batch: pa.RecordBatch, first: int, fitter: Fitter, duplicates: Duplicates | None) -> None:
        is_sound = pc.and_(batch["rejection"].is_null(), pc.invert(batch["withheld"]))
        numbers = np.flatnonzero(is_sound.to_numpy(zero_copy_only=False)).tolist()
        sound = batch if len(numbers) == batch.num_rows else batch.filter(is_sound)
        found = fitter.fit(sound.select(loads.COLUMNS), [first + number for number in numbers])
        if duplicates is not None:
            for i, row in enumerate(with_bytes(sound.select(COLUMNS)).to_pylist()):
                try:
                    duplicates.admit(row)
                except InputError as error:
                    found[i] = error
        why = {}
        for number, outcome in zip(numbers, found, strict=True):
            if isinstance(outcome, InputError):
                why[number] = Rejection.from_error(OPERATOR, outcome)
            else:
                self.documents.append(outcome)
        self._reject(batch, why)

    def _reject(self, batch: pa.RecordBatch, why: Mapping[int, Rejection]) -> None:
        told = (loads.lengths(batch["dropped"]) > 0) | batch["rejection"].is_valid().to_numpy(zero_copy_only=False)
        told[list(why)] = True
        numbers = np.flatnonzero(told)
        if not len(numbers):
            return
        rows = batch.select(REJECTED).take(pa.array(numbers)).to_pylist()
        for number, row in zip(numbers.tolist(), rows, strict=True):
            self.rejects += ledger.dropped_rows(row)
            rejection = row["rejection"] or why.get(number)
            if rejection is not None:
                self.rejects += ledger.reject_rows(row, rejection)

    def counts(self, copies: Mapping[int, int]) -> dict[str, dict[str, Any]]:
        """Of samples and of segments: how many came and how, were withheld, and are repeated; none is carried yet.

        copies: of each document, by its row.
        """
        table = self._table
        ones = np.ones(table.num_rows, np.int64)
        segments, dropped = (_lengths(table[name]) for name in ("segments", "dropped"))
        is_derived = table["ordinal"].to_numpy() >> VIEW_SHIFT > 0
        is_withheld = table["withheld"].to_numpy()
        more = np.zeros_like(ones)
        more[list(copies)] = np.array(list(copies.values()), np.int64) - 1
        return {
            level: {
                "read": int((amount + gone)[~is_derived].sum()),
                "derived": int((amount + gone)[is_derived].sum()),
                "withheld": int(amount[is_withheld].sum()),
                "repeated": int((amount * more).sum()),
                "carried": 0,
            }
            for level, amount, gone in ((ledger.SAMPLE, ones, 0 * ones), (ledger.SEGMENT, segments, dropped))
        }


def _lengths(column: pa.ChunkedArray) -> loads.Integers:
    return np.concatenate([np.zeros(0, np.int64), *(loads.lengths(chunk) for chunk in column.chunks)])

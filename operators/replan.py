"""Weighs the stored maps of each image anew and fixes the budget of each view, as `score` would: no pixel is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from pipeline.operator import Row
from pipeline.schema import MEASURED

COLUMNS = ("plans", "runs", "relevances")
Apportioning = Callable[[Sequence[Row], Sequence[list[Row]], Sequence[Row]], Row]
"""From these columns of one sample to the same, made anew."""


class Replan:
    """Makes the columns of COLUMNS of measured rows anew; everything else stays as it is."""

    name = "replan"
    version = 1

    def __init__(self, apportion: Apportioning) -> None:
        self._apportion = apportion

    def __call__(self, table: pa.Table) -> pa.Table:
        given = table.select(COLUMNS).to_pylist()
        found = [self._apportion(*row.values()) if row["plans"] else row for row in given]
        for name in COLUMNS:
            place, field = table.schema.get_field_index(name), MEASURED.field(name)
            table = table.set_column(place, field, pa.array([row[name] for row in found], field.type))
        return table

"""What an operator is: a pure function of a table, row in, row out, in order, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from pipeline.columns import table_from_rows
from pipeline.errors import InputError
from pipeline.types import Rejection

Row = dict[str, Any]


class Operator(Protocol):
    """Transforms a table of samples; never raises for bad data, it marks the row rejected."""

    name: str
    version: int
    """Raised whenever the operator's output changes for the same input: it is part of the recipe."""

    def __call__(self, table: pa.Table) -> pa.Table: ...


class Gatherer(Protocol):
    """The one N→1 step: takes tables in any order and gives the tasks of every unit that has arrived whole.

    It may be killed and come back empty; it then gives nothing for the units it forgot, and they run again.
    """

    name: str
    version: int

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]: ...


def map_rows(
    table: pa.Table,
    schema: pa.Schema,
    operator: str,
    convert: Callable[[Row], Row],
    untouched: Sequence[str] = (),
) -> pa.Table:
    """`table` with `convert`'s columns added, in `schema`.

    An InputError of `convert` rejects its row; a rejected, withheld or end row passes with empty lists in the
    columns it lacks. Columns that `schema` does not name are dropped. untouched: columns that `convert` neither reads
    nor makes: they pass as they are, or are dropped, and no value of theirs becomes a Python object.
    """
    passed = [name for name in untouched if name in table.column_names]
    made = [name for name in schema.names if name not in passed]
    rows: list[Row] = []
    for given in table.drop_columns(passed).to_pylist():
        row = given
        if row["rejection"] is None and not row["withheld"] and row["shard_end"] is None:
            try:
                row = given | convert(given)
            except InputError as error:
                # Its text has no further use, and a rejected row waits in `pack` until its unit closes.
                segments = [segment | {"text": None} for segment in given["segments"]]
                row = given | {"segments": segments, "rejection": Rejection.from_error(operator, error).to_row()}
        rows.append({name: row.get(name, []) for name in made} | {"shard_end": row["shard_end"]})
    found = table_from_rows(rows, pa.schema([schema.field(name) for name in made]))
    return pa.table([(table if name in passed else found)[name] for name in schema.names], schema=schema)

"""Large values that lie beside their rows come back as they went."""

from __future__ import annotations

import io

import pyarrow as pa
from hypothesis import given

from pipeline.operator import Row
from pipeline.placed import place, placed, take, whole
from tests.pipeline.test_columns import SCHEMA, rows


@given(rows)
def test_rows_are_the_same_behind_their_way(found: list[Row]) -> None:
    full = [dict.fromkeys(SCHEMA.names) | row for row in found]
    file = io.BytesIO()
    lean = placed(SCHEMA)
    table = pa.Table.from_pylist([place(row, SCHEMA, file) for row in full], schema=lean)
    assert whole(table.schema) == SCHEMA
    content, end = memoryview(file.getvalue()), 0
    for row, sent in zip(full, table.to_pylist(), strict=True):
        taken, end = take(sent, SCHEMA, content, end)
        assert taken == row
    assert end == len(content)


def test_only_large_values_change_their_type() -> None:
    schema = pa.schema([("small", pa.binary()), ("large", pa.list_(pa.large_binary())), ("count", pa.int64())])
    assert placed(schema).types == [pa.binary(), pa.list_(pa.int64()), pa.int64()]

"""Large binary values of rows, laid end to end in a file beside them: a row has their sizes in their stead.

Pixels so go from one process to the next, and into a column, without being copied on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, BinaryIO

import pyarrow as pa

Row = dict[str, Any]
"""As in pipeline.operator, which imports this."""
WHOLE = b"whole"
"""In the metadata of a schema of placed rows: that of the rows."""


@cache
def has_large(kind: pa.DataType) -> bool:
    """Whether there are large binary values in values of that type."""
    return pa.types.is_large_binary(kind) or any(has_large(kind.field(i).type) for i in range(kind.num_fields))


def placed(schema: pa.Schema) -> pa.Schema:
    """The schema of rows whose large values lie elsewhere."""
    fields = [field.with_type(_placed(field.type)) for field in schema]
    return pa.schema(fields, {WHOLE: schema.serialize().to_pybytes()})


def whole(schema: pa.Schema) -> pa.Schema:
    """The schema that `placed` made this one of."""
    return pa.ipc.read_schema(pa.py_buffer(schema.metadata[WHOLE]))


def place(row: Row, schema: pa.Schema, file: BinaryIO) -> Row:
    """The row as `placed(schema)` has it. Its large values are written to the file, in the order of the schema."""

    def write(value: bytes) -> int:
        file.write(value)
        return len(value)

    return {field.name: _changed(row[field.name], field.type, write) for field in schema}


def take(row: Row, schema: pa.Schema, content: memoryview, start: int) -> tuple[Row, int]:
    """The row that was placed, its large values as views of the file's content, and where the next row's begin."""
    end = start

    def view(size: int) -> memoryview:
        nonlocal end
        end += size
        return content[end - size : end]

    return {field.name: _changed(row[field.name], field.type, view) for field in schema}, end


def _placed(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_binary(kind):
        return pa.int64()
    if not has_large(kind):
        return kind
    fields = [kind.field(i) for i in range(kind.num_fields)]
    changed = [field.with_type(_placed(field.type)) for field in fields]
    return pa.struct(changed) if pa.types.is_struct(kind) else pa.list_(changed[0])


def _changed(value: Any, kind: pa.DataType, change: Callable[[Any], Any]) -> Any:
    """The value with its large ones changed, in order."""
    if value is None or not has_large(kind):
        return value
    if pa.types.is_large_binary(kind):
        return change(value)
    if pa.types.is_struct(kind):
        return {field.name: _changed(value.get(field.name), field.type, change) for field in kind}
    return [_changed(one, kind.value_type, change) for one in value]

"""Tables of rows as dicts, of which large bytes are copied once, or not at all where they lie end to end already.

pyarrow's own builders grow as bytes come, and copy what they have each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.placed import Row, has_large


def table_from_rows(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """The rows in the schema's columns, None where a row has no such key. Bytes may be anything with a buffer."""
    return pa.Table.from_arrays(
        [_array([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema
    )


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not has_large(kind):
        return pa.array(values, kind)
    missing = np.array([value is None for value in values], bool)
    mask = pa.array(missing) if missing.any() else None
    if pa.types.is_large_binary(kind):
        parts = [pa.py_buffer(b"" if value is None else value) for value in values]
        validity = None if mask is None else pa.array(~missing).buffers()[1]
        edges = _edges([part.size for part in parts], np.int64)
        return pa.Array.from_buffers(kind, len(parts), [validity, edges, _joined(parts)])
    if pa.types.is_struct(kind):
        columns = [
            _array([None if value is None else value.get(field.name) for value in values], field.type) for field in kind
        ]
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask)
    lists = [() if value is None else value for value in values]
    edges = pa.Array.from_buffers(pa.int32(), len(lists) + 1, [None, _edges([len(one) for one in lists], np.int32)])
    items = _array([item for one in lists for item in one], kind.value_type)
    return pa.ListArray.from_arrays(edges, items, type=kind, mask=mask)


def _edges(sizes: Sequence[int], kind: type[np.integer[Any]]) -> pa.Buffer:
    """Where each part begins in all of them, and their end."""
    edges = np.zeros(len(sizes) + 1, kind)
    np.cumsum(sizes, out=edges[1:])
    return pa.py_buffer(edges)


def _joined(parts: Sequence[pa.Buffer]) -> pa.Buffer:
    """The bytes of all parts: where they lie, if that is end to end."""
    filled = [part for part in parts if part.size]
    size = sum(part.size for part in filled)
    if filled and all(one.address + one.size == following.address for one, following in pairwise(filled)):
        return pa.foreign_buffer(filled[0].address, size, base=filled)
    joined = pa.allocate_buffer(size)
    content, end = memoryview(joined), 0
    for part in filled:
        content[end : end + part.size] = part
        end += part.size
    return joined

"""What travels from `pack` to `write` to the committer: one row a file that a unit needs, then one row a file written.

A unit is one `data` task per PACKS_PER_FILE packs, one `index` task and one `summary`. The summary passes `write`
unchanged and says how many reports make the unit complete.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa

TASK = pa.schema(
    [
        ("unit", pa.int32()),
        ("unit_id", pa.string()),
        ("plan", pa.string()),
        ("kind", pa.string()),
        ("number", pa.int32()),
        ("note", pa.string()),
        ("payload", pa.large_binary()),
    ]
)
"""plan: which assignment of the unit's samples it is of (plan_of); kind: data, index or summary; number: place among
the unit's data files; note: JSON; payload: an Arrow stream."""

DATA, INDEX, SUMMARY = "data", "index", "summary"
PLAN_DIGITS = 16
PACKS_PER_FILE = 64
"""Fixed, because it changes bytes: a file is what one actor writes without coming up for air."""


def plan_of(summary: Mapping[str, Any]) -> str:
    """The name of an assignment by what its unit's summary says.

    A picture may be rejected in one try of a unit and not in the next (a timeout on a busy machine): the two pack
    otherwise, and their files must not be mixed.
    """
    return hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()[:PLAN_DIGITS]


def task(
    unit: int, unit_id: str, plan: str, kind: str, number: int, note: dict[str, Any], payload: pa.Table
) -> pa.Table:
    """One row of TASK. The payload is written once, into the column: that of an index may have a gigabyte."""
    columns = [[value] for value in (unit, unit_id, plan, kind, number, json.dumps(note, sort_keys=True))]
    stream = _stream(payload)
    edges = pa.py_buffer(struct.pack("<2q", 0, stream.size))
    held = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, edges, stream])
    return pa.table([*columns, held], schema=TASK)


def note_of(row: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(row["note"]))


def to_stream(table: pa.Table) -> bytes:
    """A table as the bytes of an Arrow stream."""
    return cast("bytes", _stream(table).to_pybytes())


def _stream(table: pa.Table) -> pa.Buffer:
    """Written twice, first to know its size: a buffer that grows takes twice the memory, and copies."""
    size = pa.MockOutputStream()
    _write(table, size)
    buffer = pa.allocate_buffer(size.size())
    with pa.FixedSizeBufferWriter(buffer) as sink:
        _write(table, sink)
    return buffer


def _write(table: pa.Table, sink: Any) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def from_stream(data: bytes) -> pa.Table:
    """The table that `to_stream` made bytes of."""
    return pa.ipc.open_stream(data).read_all()

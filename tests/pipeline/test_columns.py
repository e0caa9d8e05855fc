"""Tables of rows are those that pyarrow makes, however large values lie in memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.columns import table_from_rows
from pipeline.operator import Row

PIXELS = pa.struct([("data", pa.large_binary()), ("format", pa.string())])
SCHEMA = pa.schema(
    [("key", pa.string()), ("data", pa.large_binary()), ("views", pa.list_(pa.struct([("of", PIXELS)])))]
)

large = st.none() | st.binary(max_size=9)
pixels = st.none() | st.fixed_dictionaries({"data": large, "format": st.sampled_from(["jpeg", None])})
views = st.none() | st.lists(st.none() | st.fixed_dictionaries({"of": pixels}), max_size=3)
rows = st.lists(st.fixed_dictionaries({"key": st.just("a")}, optional={"data": large, "views": views}), max_size=5)


@given(rows)
def test_rows_are_those_of_pyarrow(found: list[Row]) -> None:
    table = table_from_rows(found, SCHEMA)
    table.validate(full=True)
    assert table == pa.Table.from_pylist(found, schema=SCHEMA)


def column(values: list[Any]) -> pa.Array:
    return table_from_rows([{"data": value} for value in values], pa.schema([("data", pa.large_binary())]))[0].chunk(0)


@pytest.mark.parametrize("cuts", [[0, 3, 3, 9, 10], [2, 5, 9]])
def test_values_that_lie_end_to_end_are_not_copied(cuts: list[int]) -> None:
    memory = memoryview(b"0123456789")
    values = [memory[start:end] for start, end in pairwise(cuts)]
    found = column([values[0], None, *values[1:], b""])
    assert found.to_pylist() == [bytes(values[0]), None, *(bytes(value) for value in values[1:]), b""]
    assert found.buffers()[2].address == pa.py_buffer(memory).address + cuts[0]


def test_other_values_are_joined_in_their_order() -> None:
    memory = memoryview(b"0123456789")
    values = [memory[4:6], memory[0:4], memory[6:], memory[6:]]
    assert column(values).to_pylist() == [b"45", b"0123", b"6789", b"6789"]


def test_values_live_as_long_as_their_column() -> None:
    memory = bytearray(b"0123456789")
    found = column([memoryview(memory)[:4], memoryview(memory)[4:]])
    with pytest.raises(BufferError):  # somebody holds it
        memory.clear()
    del found
    memory.clear()

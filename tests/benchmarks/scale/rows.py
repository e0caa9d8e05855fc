"""Measured rows without end: those of the bundled shards, drawn again and again under other names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.chain import Resolved, build_chain, resolve_job
from jobs.spec import load_job
from pipeline.schema import MEASURED
from pipeline.types import Source, Unit
from pipeline.units import list_shards
from tests.support import QUICKSTART, ROOT, SAMPLES

TABLE_ROWS = 32
"""Of a table that comes to `pack`, as `read` makes them."""
FIELDS = (f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "pixels=source", "score=null", "budget=none")
"""The job whose build takes least beside packing."""


def resolved(pattern: str, output: Path, *overrides: str) -> Resolved:
    """The job of this benchmark on some shards."""
    return resolve_job(load_job(str(QUICKSTART), [*FIELDS, *overrides], input__shards=pattern, output=str(output)))


def measured_rows(folder: Path) -> pa.Table:
    """What `pack` gets of the documents of the bundled shards."""
    shards = tuple(list_shards([str(path) for path in SAMPLES]))
    chain = build_chain(resolved(str(SAMPLES[0].parent / "*.tar"), folder))
    operators = [stage.build(lambda: None) for stage in chain.stages]
    tables = []
    for number in range(len(shards)):
        for read in chain.read(Unit(0, shards, Source("interleaved")), number):
            table = read
            for operator in operators:
                table = operator(table)
            tables.append(table)
    rows = pa.concat_tables(tables)
    return rows.filter(pc.is_null(rows["shard_end"])).combine_chunks()


def shard_of(rows: pa.Table, unit: int, number: int, name: str, count: int) -> Iterator[pa.Table]:
    """The tables of a shard of `count` samples drawn from `rows`, and its end; sha256 of no file."""
    rng = np.random.default_rng([unit, number])
    for start in range(0, count, TABLE_ROWS):
        size = min(TABLE_ROWS, count - start)
        table = rows.take(pa.array(rng.integers(0, rows.num_rows, size)))
        ordinals = np.arange(start, start + size)
        yield _named(table, unit, number, name, ordinals)
    end = {"rows": count, "sha256": f"{unit:032x}{number:032x}", "bytes": 1, "ignored": 0}
    last = rows.slice(0, 1)
    for column, value in (("shard_end", end), *((name, []) for name in last.column_names if name in _LISTS)):
        last = _set(last, column, pa.array([value], last.schema.field(column).type))
    yield _named(last, unit, number, name, np.array([count]))


_LISTS = [field.name for field in MEASURED if pa.types.is_list(field.type)]


def _named(table: pa.Table, unit: int, number: int, name: str, ordinals: np.ndarray) -> pa.Table:
    size = table.num_rows
    columns = {
        "unit": pa.array(np.full(size, unit, np.int32)),
        "shard": pa.array([name] * size),
        "shard_number": pa.array(np.full(size, number, np.int32)),
        "ordinal": pa.array(ordinals, pa.int64()),
        "key": pa.array([f"{ordinal:08d}" for ordinal in ordinals.tolist()]),
    }
    for column, values in columns.items():
        table = _set(table, column, values)
    return table


def _set(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)

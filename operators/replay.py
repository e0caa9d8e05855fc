"""The rows of a unit as `pack` first had them, out of the index and the rejects of an older build of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from operators.measured import measured_from_index
from pipeline import storage
from pipeline.errors import Reason
from pipeline.operator import Row
from pipeline.schema import MEASURED, SHARD_END, table_from_rows
from pipeline.types import Older, Unit

FOUND_LATER = "write"
"""The operator whose rejected samples are in the index too: it finds their damage again."""
BLANK: Row = {name: [] for name in MEASURED.names} | {
    "key": "",
    "withheld": False,
    "rejection": None,
    "shard_end": None,
}


def replay(unit: Unit, shard_number: int) -> Iterator[pa.Table]:
    """Tables in schema MEASURED: every sample, and the last row of every shard.

    The index of a unit is one file, which is read once: all rows come with the first shard, none with the others.
    """
    if shard_number or unit.older is None:
        return
    numbers = {shard.name: number for number, shard in enumerate(unit.shards)}
    with storage.open_input(unit.older.index) as (stream, _), pq.ParquetFile(stream) as index:
        for group in range(index.num_row_groups):
            yield measured_from_index(index.read_row_group(group), unit.number, numbers)
    yield table_from_rows([*_rejected(unit, unit.older, numbers), *_ends(unit, unit.older)], MEASURED)


def _rejected(unit: Unit, older: Older, numbers: Mapping[str, int]) -> Iterator[Row]:
    with storage.open_input(older.rejects) as (stream, _):
        rejects = pq.read_table(stream).to_pylist()
    for shard, rows in groupby(rejects, key=lambda row: row["shard"]):
        for _, sample in groupby(rows, key=lambda row: row["id"]["ordinal"]):
            found = list(sample)
            if found[0]["operator"] != FOUND_LATER:
                yield BLANK | {"unit": unit.number, "shard_number": numbers[shard]} | rejected_row(found)


def rejected_row(found: Sequence[Row]) -> Row:
    """The sample that `ledger.reject_rows` made these rows of: its id, its segments' places, and its rejection."""
    sample, *segments = found
    guilty = (i for i, row in enumerate(segments) if row["reason"] != Reason.SAMPLE_REJECTED)
    place = ("member", "offset", "size")
    rejection = {name: sample[name] for name in ("operator", "reason", "detail", *place)}
    return {
        **sample["id"],
        "segments": [{name: segment[name] for name in place} for segment in segments],
        "rejection": rejection | {"segment": next(guilty, None)},
    }


def _ends(unit: Unit, older: Older) -> Iterator[Row]:
    for number, (shard, end) in enumerate(zip(unit.shards, older.ends, strict=True)):
        said = {field.name: end[field.name] for field in SHARD_END}
        place = {"unit": unit.number, "shard": shard.name, "shard_number": number, "ordinal": end["rows"]}
        yield BLANK | place | {"shard_end": said}

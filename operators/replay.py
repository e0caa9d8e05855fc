"""The rows of a unit as `pack` first had them, out of the index and the rejects of an older build of its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from operators.measured import measured_from_index
from pipeline import ledger, storage
from pipeline.columns import table_from_rows
from pipeline.derived import original_of, view_of
from pipeline.errors import Reason
from pipeline.operator import Row
from pipeline.schema import DROPPED, MEASURED, SHARD_END
from pipeline.types import Older, Unit

FOUND_LATER = "write"
"""The operator whose rejected samples are in the index too: it finds their damage again."""
BLANK: Row = {name: [] for name in MEASURED.names} | {
    "key": "",
    "num_derived": 0,
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
    with storage.open_input(unit.older.rejects) as (stream, _):
        rejects = pq.read_table(stream)
    with storage.open_input(unit.older.index) as (stream, _), pq.ParquetFile(stream) as index:
        num_derived = _num_derived(rejects["id"], index.read(["id"])["id"])
        for group in range(index.num_row_groups):
            yield measured_from_index(index.read_row_group(group), unit.number, numbers, num_derived)
    rejected = _rejected(rejects.to_pylist(), unit.number, numbers, num_derived)
    yield table_from_rows([*rejected, *_ends(unit, unit.older)], MEASURED)


def _num_derived(*ids: pa.ChunkedArray) -> Counter[tuple[str, int]]:
    """How many samples were made of each, by shard and ordinal."""
    found = {(row["shard"], row["ordinal"]) for column in ids for row in column.to_pylist()}
    return Counter((shard, original_of(ordinal)) for shard, ordinal in found if view_of(ordinal))


def _rejected(
    rejects: Sequence[Row], unit: int, numbers: Mapping[str, int], num_derived: Counter[tuple[str, int]]
) -> Iterator[Row]:
    """Samples that are in no index; of one that is, the rejects may have single segments."""
    for shard, rows in groupby(rejects, key=lambda row: row["shard"]):
        for ordinal, sample in groupby(rows, key=lambda row: row["id"]["ordinal"]):
            found = list(sample)
            if found[0]["level"] == ledger.SAMPLE and found[0]["operator"] != FOUND_LATER:
                place = {"unit": unit, "shard_number": numbers[shard], "num_derived": num_derived[shard, ordinal]}
                yield BLANK | place | rejected_row(found)


def rejected_row(found: Sequence[Row]) -> Row:
    """The sample that the ledger made these rows of: its id, its segments' places, those dropped, its rejection."""
    sample, *rest = found
    dropped = [row for row in rest if _is_dropped(row)]
    segments = [row for row in rest if not _is_dropped(row)]
    guilty = (i for i, row in enumerate(segments) if row["reason"] != Reason.SAMPLE_REJECTED)
    place = ("member", "offset", "size")
    rejection = {name: sample[name] for name in ("operator", "reason", "detail", "rules", *place)}
    return {
        **sample["id"],
        "segments": [{name: row[name] for name in place} | {"number": row["segment"]} for row in segments],
        "dropped": [{field.name: row[field.name] for field in DROPPED} for row in dropped],
        "rejection": rejection | {"segment": next(guilty, None)},
    }


def _is_dropped(segment: Row) -> bool:
    """Whether a filter took a segment out before its sample was rejected.

    The one that a filter rejected its sample for counts as such too: its row is the same.
    """
    return bool(segment["operator"] == ledger.FILTER and segment["reason"] != Reason.SAMPLE_REJECTED)


def _ends(unit: Unit, older: Older) -> Iterator[Row]:
    for number, (shard, end) in enumerate(zip(unit.shards, older.ends, strict=True)):
        said = {field.name: end[field.name] for field in SHARD_END}
        place = {"unit": unit.number, "shard": shard.name, "shard_number": number, "ordinal": end["rows"]}
        yield BLANK | place | {"shard_end": said}

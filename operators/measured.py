"""Turns rows of an index back into measured rows, from which packing starts anew without a shard being read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from operators.layout import IGNORE
from pipeline.operator import Row
from pipeline.schema import MEASURED
from pipeline.types import SegmentKind

BATCH_ROWS = 256
"""Rows that are Python objects at a time."""


def measured_from_index(index: pa.Table, unit: int, shard_numbers: Mapping[str, int]) -> pa.Table:
    """INDEX rows as MEASURED rows of `unit`; lay_out makes the same tokens of them as of those that were indexed.

    shard_numbers: of each shard, by name. The texts themselves are not in an index: `text` is null.
    """
    batches = index.to_batches(max_chunksize=BATCH_ROWS)
    tables = [pa.Table.from_pylist(list(_rows(batch, unit, shard_numbers)), schema=MEASURED) for batch in batches]
    return pa.concat_tables([MEASURED.empty_table(), *tables])


def _rows(batch: pa.RecordBatch, unit: int, shard_numbers: Mapping[str, int]) -> Iterator[Row]:
    for row in batch.to_pylist():
        segments = row["segments"]
        images = [segment for segment in segments if segment["kind"] == SegmentKind.IMAGE]
        is_chat = any(segment["role"] is not None for segment in segments)
        place = ("kind", "member", "offset", "size", "role")
        yield {
            "unit": unit,
            "shard": row["id"]["shard"],
            "shard_number": shard_numbers[row["id"]["shard"]],
            "ordinal": row["id"]["ordinal"],
            "key": row["id"]["key"],
            "segments": [{name: segment[name] for name in place} for segment in segments],
            "withheld": False,
            "rejection": None,
            "shard_end": None,
            "pictures": [_picture(segment) for segment in images],
            "plans": [segment["plan"] for segment in images],
            "tokens": [segment["ids"] or [] for segment in segments],
            # Of a document every token is trained, but the first, which text_labels knows.
            "trained": [
                [label != IGNORE for label in segment["labels"] or []] if is_chat else [] for segment in segments
            ],
            "runs": [segment["runs"] for segment in images],
            "relevances": [segment["relevance"] for segment in images if segment["relevance"] is not None],
        }


def _picture(segment: Row) -> Row:
    return {"width": segment["plan"]["width"], "height": segment["plan"]["height"], "format": segment["format"]}

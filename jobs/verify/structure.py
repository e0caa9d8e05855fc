"""Values that a schema cannot forbid: nulls where something must stand, negative numbers, boxes of three sides.

With any of these nothing else of a file can be told, so they come first.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.types import SegmentKind

OF_TEXT = ("ids", "labels")
OF_IMAGES = ("format", "digest", "plan", "runs")
REDUCTIONS = ("segments.reduction", "plans.reduction")
ASKED = ("restore", "kept", "groups", "shares", "window", "pools", "order", "schedule", "clusters", "expand", "decay")
"""What a reduction may ask for, or not."""
OPTIONAL = {
    "segment",
    "segments.relevance",
    "segments.reduction",
    *(f"{path}.{name}" for path in REDUCTIONS for name in ASKED),
    "segments.relevance.participatory",
    "segments.relevance.legibility",
    "segments.role",
    "segments.encoding",
    *(f"segments.{name}" for name in (*OF_TEXT, *OF_IMAGES)),
    "segments.plan.canvas",
    *(f"{views}.{name}" for views in ("views", "segments.plan.views") for name in ("budget", "relevance")),
    "views.pixels",
    *(f"views.pixels.{name}" for name in ("data", "format", "shard", "offset", "size")),
}
"""Columns that may be null."""
SIGNED = {
    "labels",
    "segment_ids",
    "segments.labels",
    "segments.runs.view",
    *(f"{path}.groups" for path in REDUCTIONS),
    "segments.plan.canvas.left",
    "segments.plan.canvas.top",
}
"""Columns that may be negative."""
FOUR_SIDES = {"box", "cells"}


def structure_faults(batch: pa.RecordBatch) -> Iterator[str]:
    """What no value of such a column may be, a line each."""
    for name in batch.schema.names:
        yield from _column_faults(name, batch[name])
    if "segments" in batch.schema.names:
        yield from _segment_faults(batch["segments"].flatten())


def _column_faults(path: str, column: pa.Array, *, is_item: bool = False) -> Iterator[str]:
    """is_item: of a list, of which none is null even where the list may be."""
    if column.null_count and (is_item or path not in OPTIONAL):
        yield f"{path} is null in {column.null_count} places; a value expected"
    column = column.drop_null()
    if pa.types.is_struct(column.type):
        for field, child in zip(column.type, column.flatten(), strict=True):
            yield from _column_faults(f"{path}.{field.name}", child)
    elif pa.types.is_list(column.type):
        if path.rpartition(".")[2] in FOUR_SIDES and not _all(pc.equal(pc.list_value_length(column), 4)):
            yield f"{path} has not four numbers everywhere"
        yield from _column_faults(path, column.flatten(), is_item=True)
    elif pa.types.is_integer(column.type) and path not in SIGNED and (pc.min(column).as_py() or 0) < 0:
        yield f"{path} is {pc.min(column).as_py()} somewhere; 0 or more expected"


def _segment_faults(segments: pa.StructArray) -> Iterator[str]:
    """Texts have what texts have, images what images have, and neither what the other has."""
    columns = dict(zip([field.name for field in segments.type], segments.flatten(), strict=True))
    kinds = columns["kind"]
    if not _all(pc.is_in(kinds, pa.array([int(kind) for kind in SegmentKind], kinds.type))):
        yield "segments.kind is neither text nor image somewhere"
    for name, kind in [*((n, SegmentKind.TEXT) for n in OF_TEXT), *((n, SegmentKind.IMAGE) for n in OF_IMAGES)]:
        if not _all(pc.equal(pc.is_valid(columns[name]), pc.equal(kinds, int(kind)))):
            yield f"segments.{name} is not there exactly where the segment is of kind {kind.name.lower()}"


def _all(values: pa.BooleanArray) -> bool:
    """Whether no value is false; true of none at all, as in a file without a picture."""
    return bool(pc.all(values, min_count=0).as_py())

"""Turns rows of an index back into measured rows, from which packing starts anew without a shard being read.

Columns are taken apart and put together as they are, so that no token becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.layout import IGNORE
from pipeline.schema import MEASURED, PICTURE
from pipeline.types import SegmentKind

NumDerived = Mapping[tuple[str, int], int]
"""How many samples were made of each, by shard and ordinal, where there are any."""
NOTHING: NumDerived = {}


def measured_from_index(
    index: pa.Table,
    unit: int,
    shard_numbers: Mapping[str, int],
    num_derived: NumDerived = NOTHING,
) -> pa.Table:
    """INDEX rows as MEASURED rows of `unit`; lay_out makes the same tokens of them as of those that were indexed.

    shard_numbers: of each shard, by name. num_derived: of samples, by shard and ordinal, where there are any. The texts
    themselves are not in an index: `text` is null.
    """
    tables = [_measured(batch, unit, shard_numbers, num_derived) for batch in index.to_batches() if batch.num_rows]
    return pa.concat_tables([MEASURED.empty_table(), *tables])


def _measured(batch: pa.RecordBatch, unit: int, shard_numbers: Mapping[str, int], num_derived: NumDerived) -> pa.Table:
    rows = batch.num_rows
    identity = {name: pc.struct_field(batch["id"], name) for name in ("shard", "ordinal", "key")}
    segments = batch["segments"].flatten()
    place = _offsets(batch["segments"])
    is_image = pc.equal(segments.field("kind"), SegmentKind.IMAGE)
    images = segments.filter(is_image)
    image_place = _counted(is_image, place)
    has_map = images.field("relevance").is_valid()
    is_reduced = pa.array(_with_any(images.field("reduction").is_valid(), image_place))
    columns = {
        "unit": _filled(rows, unit, pa.int32()),
        "shard": identity["shard"],
        "shard_number": pa.array([shard_numbers[name] for name in identity["shard"].to_pylist()], pa.int32()),
        "ordinal": identity["ordinal"],
        "key": identity["key"],
        "segments": _lists(place, _struct(MEASURED.field("segments").type.value_type, segments)),
        "dropped": batch["dropped"],
        "num_derived": pa.array(
            [num_derived.get((row["shard"], row["ordinal"]), 0) for row in batch["id"].to_pylist()], pa.int32()
        ),
        "withheld": _filled(rows, False, pa.bool_()),
        "rejection": pa.nulls(rows, MEASURED.field("rejection").type),
        "shard_end": pa.nulls(rows, MEASURED.field("shard_end").type),
        "pictures": _lists(image_place, _pictures(images)),
        "plans": _lists(image_place, images.field("plan")),
        "tokens": _lists(place, _dense(segments.field("ids"))),
        "trained": _lists(place, _trained(segments, place)),
        "runs": _lists(image_place, images.field("runs")),
        "relevances": _lists(_counted(has_map, image_place), images.field("relevance").filter(has_map)),
        "reductions": _lists(_counted(is_reduced, image_place), images.field("reduction").filter(is_reduced)),
    }
    return pa.table([columns[name].cast(MEASURED.field(name).type) for name in MEASURED.names], schema=MEASURED)


def _trained(segments: pa.StructArray, place: np.ndarray) -> pa.Array:
    """Which ids of each segment are trained. Of a document every one is, but the first, which text_labels knows."""
    has_role = np.concatenate([[0], np.cumsum(segments.field("role").is_valid().to_numpy(zero_copy_only=False))])
    is_chat = np.repeat(has_role[place[1:]] > has_role[place[:-1]], np.diff(place))
    labels = segments.field("labels")
    lengths = np.diff(_offsets(labels))
    kept = pa.array(np.repeat(is_chat, lengths))
    trained = pc.not_equal(labels.flatten().filter(kept), IGNORE)
    return _lists(np.concatenate([[0], np.cumsum(lengths * is_chat)]), trained)


def _pictures(images: pa.StructArray) -> pa.Array:
    sizes = {name: pc.struct_field(images.field("plan"), name) for name in ("width", "height")}
    fields = {**sizes, **{name: images.field(name) for name in ("format", "digest")}}
    return pa.StructArray.from_arrays([fields[field.name] for field in PICTURE], fields=list(PICTURE))


def _struct(kind: pa.StructType, values: pa.StructArray) -> pa.Array:
    """The fields of `kind` that `values` has; the others are null."""
    given = {field.name for field in values.type}
    columns = [values.field(field.name) if field.name in given else pa.nulls(len(values), field.type) for field in kind]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def _filled(rows: int, value: object, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), rows)


def _offsets(lists: pa.ListArray) -> np.ndarray:
    """Where each list begins in the flattened values; a null counts as empty."""
    return np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False))])


def _counted(chosen: pa.Array, place: np.ndarray) -> np.ndarray:
    """The offsets of lists of which only the `chosen` values are kept."""
    running = np.concatenate([[0], np.cumsum(chosen.to_numpy(zero_copy_only=False))])
    return np.asarray(running[place])


def _with_any(chosen: pa.Array, place: np.ndarray) -> np.ndarray:
    """Of each value whether one of its list is chosen."""
    found = np.diff(np.concatenate([[0], np.cumsum(chosen.to_numpy(zero_copy_only=False))])[place]) > 0
    return np.repeat(found, np.diff(place))


def _lists(place: np.ndarray, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(place, pa.int32()), values)


def _dense(lists: pa.ListArray) -> pa.ListArray:
    """The same lists; null ones are empty."""
    return _lists(_offsets(lists), lists.flatten())

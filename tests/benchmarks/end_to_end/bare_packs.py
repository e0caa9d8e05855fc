"""Writes packs straight from arrays: the columns of a build's data files, one file a shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from operators.layout import IGNORE, LaidOut
from pipeline.operator import Row
from pipeline.parquet import settings_of
from pipeline.schema import PACK_SAMPLE, PACK_VIEW, PIXELS, SAMPLE_ID, pack_schema
from pipeline.types import Modality

SCHEMA = pack_schema()
Pixels = list[tuple[bytes, str]] | None


@dataclass(frozen=True, slots=True)
class Document:
    """One sample, laid out."""

    ordinal: int
    key: str
    views: Sequence[Row]
    offset: int
    """Of its picture in the shard."""
    size: int
    laid: LaidOut


def write_packs(
    path: Path,
    shard: str,
    packs: Sequence[Sequence[int]],
    documents: Sequence[Document],
    length: int,
    padding: int,
    pixels: Callable[[int], Pixels],
    row_group: int,
) -> None:
    """packs: numbers of documents. pixels: of the views of a document, None where their place in the shard is kept.

    row_group: packs of each.
    """
    with pq.ParquetWriter(path, SCHEMA, **settings_of(SCHEMA)) as writer:
        for start in range(0, len(packs), row_group):
            group = [[documents[i] for i in pack] for pack in packs[start : start + row_group]]
            drawn = [pixels(i) for pack in packs[start : start + row_group] for i in pack]
            ids = [f"{path.stem}-{number:06d}" for number in range(start, start + len(group))]
            columns = [
                pa.array(ids),
                *_tokens(group, length, padding),
                _samples(group, shard),
                _views(group, shard, drawn),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))


def _tokens(group: Sequence[Sequence[Document]], length: int, padding: int) -> list[pa.Array]:
    """The columns from input_ids to modality."""
    count = len(group)
    ids = np.full((count, length), padding, np.int32)
    labels = np.full((count, length), IGNORE, np.int32)
    positions = np.empty((count, 3, length), np.int32)
    segments = np.full((count, length), -1, np.int32)
    modality = np.full((count, length), Modality.PADDING, np.int8)
    borders: list[list[int]] = []
    for row, pack in enumerate(group):
        end = 0
        borders.append([0])
        for number, document in enumerate(pack):
            laid = document.laid
            start, end = end, end + len(laid.ids)
            ids[row, start:end] = laid.ids
            labels[row, start:end] = laid.labels
            positions[row, :, start:end] = laid.positions
            segments[row, start:end] = number
            modality[row, start:end] = laid.modality
            borders[-1].append(end)
        if end < length:
            positions[row, :, end:] = np.arange(length - end)
            borders[-1].append(length)
    nested = _lists(_fixed(positions, length), np.arange(0, 3 * count + 1, 3, dtype=np.int32))
    flat = np.fromiter(chain.from_iterable(borders), np.int32)
    ends = np.cumsum([0, *map(len, borders)], dtype=np.int32)
    by_token = [_fixed(column, length) for column in (ids, labels)]
    return [*by_token, nested, _fixed(segments, length), _lists(pa.array(flat), ends), _fixed(modality, length)]


def _fixed(values: np.ndarray, length: int) -> pa.Array:
    flat = values.reshape(-1)
    return _lists(pa.array(flat), np.arange(0, len(flat) + 1, length, dtype=np.int32))


def _lists(values: pa.Array, offsets: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _struct(schema: pa.StructType, **columns: Any) -> pa.Array:
    """An array of structs; a column is an array already, or a list of values."""
    made = [
        columns[field.name] if isinstance(columns[field.name], pa.Array) else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.StructArray.from_arrays(made, fields=list(schema))


def _samples(group: Sequence[Sequence[Document]], shard: str) -> pa.Array:
    flat = [document for pack in group for document in pack]
    lengths = [len(document.laid.ids) for document in flat]
    starts = [start for pack in group for start in _starts(pack)]
    identity = _struct(
        SAMPLE_ID,
        shard=[shard] * len(flat),
        key=[document.key for document in flat],
        ordinal=[document.ordinal for document in flat],
    )
    zeros, ones = np.zeros(len(flat), np.int32), np.ones(len(flat), np.int32)
    samples = _struct(PACK_SAMPLE, id=identity, copy=zeros, part=zeros, num_parts=ones, start=starts, length=lengths)
    return _lists(samples, np.cumsum([0, *map(len, group)], dtype=np.int32))


def _starts(pack: Sequence[Document]) -> list[int]:
    return np.cumsum([0, *(len(document.laid.ids) for document in pack[:-1])]).tolist()


def _views(group: Sequence[Sequence[Document]], shard: str, drawn: Sequence[Pixels]) -> pa.Array:
    """The views of a row group's packs. drawn: the pixels of its documents, in order."""
    owners = [
        (number, document, start)
        for pack in group
        for number, (document, start) in enumerate(zip(pack, _starts(pack), strict=True))
    ]
    flat = [view for _, document, _ in owners for view in document.views]
    numbers = [number for number, document, _ in owners for _ in document.views]
    own = ("sample", "image", "start", "tokens", "pixels")
    columns = {field.name: [view[field.name] for view in flat] for field in PACK_VIEW if field.name not in own}
    starts = [start + first for _, document, start in owners for first in document.laid.view_starts[0]]
    tokens = [size for _, document, _ in owners for size in document.laid.view_tokens[0]]
    views = _struct(
        PACK_VIEW,
        sample=numbers,
        image=np.zeros(len(flat), np.int32),
        start=starts,
        tokens=tokens,
        pixels=_pixels([document for _, document, _ in owners for _ in document.views], shard, drawn),
        **columns,
    )
    counts = [sum(len(document.views) for document in pack) for pack in group]
    return _lists(views, np.cumsum([0, *counts], dtype=np.int32))


def _pixels(shown: Sequence[Document], shard: str, drawn: Sequence[Pixels]) -> pa.Array:
    nothing = [None] * len(shown)
    if drawn[0] is None:
        return _struct(
            PIXELS,
            data=nothing,
            format=["jpeg"] * len(shown),
            shard=[shard] * len(shown),
            offset=[document.offset for document in shown],
            size=[document.size for document in shown],
        )
    data, formats = zip(*(view for views in drawn if views for view in views), strict=True)
    return _struct(PIXELS, data=list(data), format=list(formats), shard=nothing, offset=nothing, size=nothing)

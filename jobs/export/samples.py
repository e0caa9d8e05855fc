"""A pack as exports write it: one sample with arrays, records and the pixels of its views."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.loading.packs import Packs
from pipeline.operator import Row
from pipeline.schema import pack_schema

Array = npt.NDArray[Any]
RAW = frozenset({"patches", "planes"})
"""Pixels that are uint8 values, not an encoded picture."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a pack keeps of one view: an encoded picture, or raw uint8 values and their shape."""

    format: str
    """png, webp, jpeg, patches or planes."""
    data: bytes
    shape: tuple[int, ...]
    """patches: [grid_h * grid_w, 3, patch, patch]; planes: [3, height, width]; () of an encoded picture."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One pack, every column in one of three places."""

    key: str
    """Its pack_id; no dot, no slash."""
    arrays: Mapping[str, Array]
    """Columns of numbers with the type of the column: [L], position_ids [R, L], cu_seqlens [documents + 1]."""
    records: Mapping[str, Any]
    """The other columns, `samples` and `views`, as JSON has them. A view's `pixels` come without their `data`."""
    pixels: tuple[Pixels | None, ...]
    """One a view; None where a job keeps the place of a picture (`pixels: source`), or none of it."""


def read_samples(packs: Packs) -> Iterator[Sample]:
    """Every pack in the data set's order; one row group is in memory."""
    columns = pack_schema(weighted=True, aligned=True, reduced=True).names  # those that are there are read
    for _, row in packs.read(range(len(packs)), columns):
        yield _sample(row)


def to_json(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def column_types(sample: Sample) -> dict[str, str]:
    """Of each column the type of its numbers, such as `int32`; or `json`."""
    return {name: values.dtype.name for name, values in sample.arrays.items()} | dict.fromkeys(sample.records, "json")


def _sample(row: Row) -> Sample:
    arrays = {name: _array(scalar) for name, scalar in row.items() if _is_numeric(scalar.type)}
    records = {name: scalar.as_py() for name, scalar in row.items() if name not in arrays and name != "pack_id"}
    pixels = tuple(_pixels(view) for view in records["views"])
    views = [view | {"pixels": _without_data(view["pixels"])} for view in records["views"]]
    return Sample(row["pack_id"].as_py(), arrays, records | {"views": views}, pixels)


def _is_numeric(kind: pa.DataType) -> bool:
    """Whether a column is a list of numbers, or of such lists."""
    if not pa.types.is_list(kind):
        return False
    values = kind.value_type
    return bool(pa.types.is_integer(values) or pa.types.is_floating(values)) or _is_numeric(values)


def _array(scalar: pa.Scalar) -> Array:
    if pa.types.is_list(scalar.type.value_type):
        return np.stack([_array(row) for row in scalar])
    found: Array = scalar.values.to_numpy(zero_copy_only=False)
    return found


def _pixels(view: Row) -> Pixels | None:
    stored = view["pixels"]
    if stored is None or stored["data"] is None:
        return None
    shape: tuple[int, ...] = ()
    if stored["format"] == "planes":
        shape = (3, view["height"], view["width"])
    elif stored["format"] == "patches":
        patch = view["height"] // view["grid_h"]
        shape = (view["grid_h"] * view["grid_w"], 3, patch, patch)
    return Pixels(stored["format"], stored["data"], shape)


def _without_data(stored: Row | None) -> Row | None:
    return None if stored is None else {name: value for name, value in stored.items() if name != "data"}

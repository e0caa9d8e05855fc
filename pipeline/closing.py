"""The closing unit: what is left of all units, the documents of their last, part-filled sequences, packed together.

Its name follows from the units that it closes, so that it is built anew exactly when one of them is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.schema import INDEX
from pipeline.units import closing_id

NUMBER = -1
"""Of the closing unit among the units of a run."""
CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Closing:
    """A closing unit that is to be built."""

    unit_id: str
    closes: tuple[str, ...]
    """Ids of the units whose documents it takes."""
    rows: pa.Table
    """INDEX: these documents, by shard and ordinal."""
    shards: Mapping[str, str]
    """URL of each shard that they lie in, by name in order."""
    number: int = NUMBER


def units_to_close(manifests: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Ids of the units that hand documents on, in order."""
    return tuple(sorted(m["unit"] for m in manifests if m["counts"]["samples"][CARRIED] > 0))


def read_closing(
    output: str, recipe_id: str, manifests: Sequence[Mapping[str, Any]], urls: Mapping[str, str]
) -> Closing:
    """The closing unit of units by their manifests, some of which carry something. urls: of every shard by name."""
    closes = units_to_close(manifests)
    rows = pa.concat_tables([_carried(output, m["files"]) for m in manifests if m["unit"] in closes])
    keys = {name: pc.struct_field(rows["id"], name) for name in ("shard", "ordinal")}
    rows = rows.take(pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys]))
    names = sorted(set(pc.struct_field(rows["id"], "shard").to_pylist()))
    return Closing(closing_id(closes, recipe_id), closes, rows, {name: urls[name] for name in names})


def _carried(output: str, files: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The carried rows of a unit's index, of which only the row groups that hold some are read."""
    (path,) = (file["path"] for file in files if file["kind"] == "index")
    found = []
    with storage.open_input(storage.join(output, path)) as (stream, _), pq.ParquetFile(stream) as index:
        for group in range(index.num_row_groups):
            chosen = index.read_row_group(group, columns=[CARRIED])[CARRIED]
            if pc.any(chosen).as_py():
                found.append(index.read_row_group(group).filter(chosen))
    return pa.concat_tables([INDEX.empty_table(), *found])

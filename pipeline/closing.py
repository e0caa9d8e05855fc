"""The closing unit: what is left of all units, the documents of their last, part-filled sequences, packed together.

Its name follows from the units that it closes, so that it is built anew exactly when one of them is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.schema import INDEX
from pipeline.types import Source
from pipeline.units import closing_id, recipe_hash, unit_recipe

CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Closing:
    """The closing unit of one source, by the units whose documents it takes."""

    number: int
    """Among the units of a run: below zero, as it is known only after them."""
    unit_id: str
    source: Source
    closes: tuple[str, ...]
    """Ids of these units, in order."""
    indexes: tuple[str, ...]
    """Paths of their indexes."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a closing unit is made of."""

    rows: pa.Table
    """INDEX, by shard and ordinal."""
    shards: Mapping[str, str]
    """URL of each shard that they lie in, by name in order."""
    older: tuple[str, ...] = ()
    """Data files that their views are copied from, where units were re-planned."""


def closings(
    manifests: Sequence[Mapping[str, Any]], recipe: dict[str, Any], sources: Sequence[Source]
) -> list[Closing]:
    """The closing units that these units need: one a source, none where nothing is handed on."""
    found = []
    for place, source in enumerate(sources):
        own = unit_recipe(recipe, source)
        closed = {
            manifest["unit"]: path
            for manifest in manifests
            if manifest["recipe"]["source"] == own["source"] and manifest["counts"]["samples"][CARRIED] > 0
            for path in [file["path"] for file in manifest["files"] if file["kind"] == "index"]
        }
        if closed:
            units = tuple(sorted(closed))
            identity = closing_id(units, recipe_hash(own))
            found.append(Closing(-1 - place, identity, source, units, tuple(closed[unit] for unit in units)))
    return found


def read_carried(output: str, closing: Closing, urls: Mapping[str, str], older: Sequence[str]) -> Carried:
    """The documents of a closing unit, out of the indexes.

    urls: of every shard by name; older: data files of the units that this run re-plans.
    """
    rows = pa.concat_tables([_carried(storage.join(output, path)) for path in closing.indexes])
    keys = {name: pc.struct_field(rows["id"], name) for name in ("shard", "ordinal")}
    rows = rows.take(pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys]))
    names = sorted(set(pc.struct_field(rows["id"], "shard").to_pylist()))
    return Carried(rows, {name: urls[name] for name in names}, tuple(older))


def _carried(url: str) -> pa.Table:
    """The carried rows of an index, of which only the row groups that hold some are read."""
    found = []
    with storage.open_input(url) as (stream, _), pq.ParquetFile(stream) as index:
        for group in range(index.num_row_groups):
            chosen = index.read_row_group(group, columns=[CARRIED])[CARRIED]
            if pc.any(chosen).as_py():
                found.append(index.read_row_group(group).filter(chosen))
    return pa.concat_tables([INDEX.empty_table(), *found])

"""Reads back what became of each sample of a unit that was built for a forecast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.budget import BudgetConfig
from operators.fitting import Size
from pipeline import ledger
from pipeline.derived import original_of
from pipeline.operator import Row
from pipeline.types import Modality

VIEW_COLUMNS = ("sample", "image", "row", "col", "grid_t", "grid_h", "grid_w", "tokens")
COLUMNS = ("samples", "modality", *(f"views.list.element.{name}" for name in VIEW_COLUMNS))
PIXELS = "views.list.element.pixels.data"
"""Pixels are read for their sizes, a row group at a time."""
Counts = dict[int, float]
"""By ordinal; 0 where nothing is said."""
REJECTED = "rejected "
"""Stands before a reason, among the names of what is counted."""


def counts() -> Counts:
    """Nothing of anything yet."""
    return defaultdict(float)


@dataclass(slots=True)
class Packed:
    """What became of the samples of one shard, by ordinal; of derived samples and copies, by that of their original."""

    values: dict[str, Counts] = field(default_factory=lambda: defaultdict(counts))
    """tokens (text, visual, marks), packed, rejected, `rejected REASON`, picture_bytes, other_bytes, images,
    images_under_floor."""
    items: dict[int, list[tuple[Size, int]]] = field(default_factory=lambda: defaultdict(list))
    """Size of each part that was packed, and its tokens without alignment."""


def read_packed(folder: str, manifest: Mapping[str, Any], budget: BudgetConfig | None) -> Packed:
    """The samples of a unit by its files; text, visual tokens and bytes have the sums that its manifest has."""
    found = Packed()
    rendered, pixel_bytes = counts(), 0
    for file in manifest["files"]:
        path = Path(folder, file["path"])
        if file["kind"] == "data":
            with pq.ParquetFile(path) as data:
                for group in range(data.num_row_groups):
                    pixel_bytes += _pixel_bytes(data.metadata.row_group(group))
                    _read_group(data.read_row_group(group, columns=[*COLUMNS, PIXELS]), budget, found, rendered)
        if file["kind"] == "rejects":
            for row in pq.read_table(path, columns=["level", "id", "reason"]).to_pylist():
                _read_reject(row, found)
    tokens = found.values["tokens"]
    visual = found.values["visual"]
    text = defaultdict(float, {ordinal: number - visual[ordinal] for ordinal, number in tokens.items()})
    sums = manifest["counts"]["tokens"]
    found.values["visual"] = _with_sum(visual, sums.get("visual", 0))
    found.values["text"] = _with_sum(text, sums.get("text", 0))
    for ordinal, number in tokens.items():
        found.values["marks"][ordinal] = number - found.values["visual"][ordinal] - found.values["text"][ordinal]
    total = sum(file["bytes"] for file in manifest["files"])
    found.values["picture_bytes"] = _with_sum(rendered, pixel_bytes)
    found.values["other_bytes"] = _with_sum(tokens, total - sum(found.values["picture_bytes"].values()))
    return found


def _pixel_bytes(group: pq.RowGroupMetaData) -> int:
    """Of a row group, as they lie in the file: a picture that comes again takes next to nothing."""
    columns = map(group.column, range(group.num_columns))
    return sum(one.total_compressed_size for one in columns if one.path_in_schema == PIXELS)


def _read_group(table: pa.Table, budget: BudgetConfig | None, found: Packed, rendered: Counts) -> None:
    pixels = table["views"].combine_chunks().flatten().field("pixels")
    sizes = iter(pc.fill_null(pc.binary_length(pixels.field("data")), 0).to_pylist())
    written = pc.equal(table["modality"].combine_chunks().flatten(), Modality.DISCRETE).to_numpy(zero_copy_only=False)
    per_pack = written.reshape(table.num_rows, -1)
    for samples, views, is_written in zip(
        *(_rows(table, name) for name in ("samples", "views")), per_pack, strict=True
    ):
        shown: dict[int, list[Row]] = defaultdict(list)
        for view in views:
            shown[view["sample"]].append(view)
            rendered[original_of(samples[view["sample"]]["id"]["ordinal"])] += next(sizes)
        for place, sample in enumerate(samples):
            num_written = int(is_written[sample["start"] : sample["start"] + sample["length"]].sum())
            _read_part(sample, shown[place], num_written, budget, found)


def _rows(table: pa.Table, name: str) -> list[list[Row]]:
    column = table[name].combine_chunks()
    if name == "samples":
        return list(column.to_pylist())
    parts = column.flatten()
    kept = pa.StructArray.from_arrays([parts.field(name) for name in VIEW_COLUMNS], VIEW_COLUMNS)
    return list(pa.ListArray.from_arrays(column.offsets, kept).to_pylist())


def _read_part(sample: Row, views: list[Row], num_written: int, budget: BudgetConfig | None, found: Packed) -> None:
    """Adds one part of one sample, with its views and the ids that pictures are written in."""
    ordinal, length = original_of(sample["id"]["ordinal"]), sample["length"]
    images: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for view in views:
        images[view["image"]].add((view["row"], view["col"]))
    patches = sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in views)
    found.items[ordinal].append(((length, len(images), patches, len(views), length**2), length))
    add = {
        "packed": int(sample["part"] == 0),
        "tokens": length,
        "visual": num_written + sum(view["tokens"] for view in views),
        "images": len(images),
        "images_under_floor": sum(is_under_floor(len(regions), budget) for regions in images.values()),
    }
    for name, number in add.items():
        found.values[name][ordinal] += number


def is_under_floor(regions: int, budget: BudgetConfig | None) -> bool:
    """Whether an image of so many regions gets less than `min_tokens` for each, because its total is bounded."""
    if budget is None:
        return False
    most = min(budget.image_tokens or budget.max_image_tokens, budget.max_image_tokens)
    return regions * budget.min_tokens > most


def _read_reject(row: Row, found: Packed) -> None:
    if row["level"] == ledger.SAMPLE:
        ordinal = original_of(row["id"]["ordinal"])
        found.values["rejected"][ordinal] += 1
        found.values[f"{REJECTED}{row['reason']}"][ordinal] += 1


def _with_sum(values: Counts, total: int) -> Counts:
    """The values in the same proportions."""
    scale = total / (sum(values.values()) or 1)
    return defaultdict(float, {ordinal: value * scale for ordinal, value in values.items()})

"""What holds of one packed row: by itself, and against the documents that it says it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.verify.plans import Ints
from jobs.verify.records import Recipe
from pipeline.types import Modality

Row = dict[str, Any]
IGNORE = -100
FLAT = ("input_ids", "labels", "segment_ids", "modality")


@dataclass(frozen=True, slots=True)
class Pack:
    """One row of a data file; per-token columns as arrays, each [L]; positions [R, L]."""

    pack_id: str
    tokens: dict[str, Ints]
    positions: list[Ints | npt.NDArray[np.float64]]
    weights: npt.NDArray[np.float64] | None
    """Loss weights, if the data set has them."""
    cu_seqlens: list[int]
    unpadded: list[int] | None
    """cu_seqlens_unpadded, where documents are aligned."""
    samples: list[Row]
    views: list[Row]
    plans: list[Row]
    """Of reduction, one an image; none where the job reduces nothing."""

    @property
    def used(self) -> int:
        """Tokens of documents, without any padding."""
        return int(sum(sample["length"] for sample in self.samples))


def read_packs(table: pa.RecordBatch) -> Iterator[Pack]:
    """The rows of a batch in the schema of packs."""
    weights = table["loss_weights"] if "loss_weights" in table.schema.names else None
    unpadded = table["cu_seqlens_unpadded"] if "cu_seqlens_unpadded" in table.schema.names else None
    is_float = pa.types.is_floating(table["position_ids"].type.value_type.value_type)
    for i in range(table.num_rows):
        positions = table["position_ids"][i].values
        yield Pack(
            table["pack_id"][i].as_py(),
            {name: _array(table[name][i].values) for name in FLAT},
            [row.values.to_numpy().astype(np.float64) if is_float else _array(row.values) for row in positions],
            None if weights is None else weights[i].values.to_numpy().astype(np.float64),
            table["cu_seqlens"][i].as_py(),
            None if unpadded is None else unpadded[i].as_py(),
            table["samples"][i].as_py(),
            table["views"][i].as_py(),
            table["plans"][i].as_py() if "plans" in table.schema.names else [],
        )


def _array(values: pa.Array) -> Ints:
    found: Ints = values.to_numpy().astype(np.int64)
    return found


def shape_faults(pack: Pack, recipe: Recipe) -> Iterator[str]:
    """Lists of wrong length, and documents that do not follow each other: then nothing else can be told."""
    length, rows = recipe.job.sequence_length, recipe.profile.positions.num_rows
    if len(pack.positions) != rows:
        yield f"position_ids has {len(pack.positions)} rows; {rows} expected"
    named = pack.tokens | {f"position_ids[{i}]": row for i, row in enumerate(pack.positions)}
    yield from (f"{name} has {len(row)} values; {length} expected" for name, row in named.items() if len(row) != length)
    if not pack.samples:
        yield "holds no sample; at least one expected"
    following = [0, *accumulate(aligned(sample["length"], recipe) for sample in pack.samples)]
    for i, (sample, start) in enumerate(zip(pack.samples, following, strict=False)):
        if sample["start"] != start or sample["length"] < 1:
            yield f"sample {i} has {sample['length']} tokens from {sample['start']}; some from {start} expected"
    if following[-1] > length:
        yield f"samples have {following[-1]} tokens; at most {length} expected"


def aligned(length: int, recipe: Recipe) -> int:
    """The tokens that a document of `length` takes in a pack."""
    align = recipe.job.pack.align
    return (length + align - 1) // align * align


def row_faults(pack: Pack, recipe: Recipe, special: Mapping[str, int]) -> Iterator[str]:
    """What is untrue of a row of sound shape: borders, segments, tail, labels, special ids, views, limits."""
    length = recipe.job.sequence_length
    sizes = [sample["length"] for sample in pack.samples]
    used = sum(aligned(size, recipe) for size in sizes)
    ids, labels, modality = (pack.tokens[name] for name in ("input_ids", "labels", "modality"))
    starts = [sample["start"] for sample in pack.samples]
    borders = [*starts, used, *([length] if used < length else [])]
    if pack.cu_seqlens != borders:
        yield f"cu_seqlens are {pack.cu_seqlens}; the samples' borders {borders} expected"
    if pack.unpadded is not None:
        unpadded = [0, *accumulate([*sizes, *([length - used] if used < length else [])])]
        if pack.unpadded != unpadded:
            yield f"cu_seqlens_unpadded are {pack.unpadded}; {unpadded} expected"
    numbers = np.repeat([*range(len(starts)), -1], [*(aligned(size, recipe) for size in sizes), length - used])
    yield from differences("segment_ids", pack.tokens["segment_ids"], numbers)

    is_padding = np.ones(length, bool)
    for start, size in zip(starts, sizes, strict=True):
        is_padding[start : start + size] = False
    yield from differences("modality is padding", modality == Modality.PADDING, is_padding)
    padding = np.where(is_padding, special["padding"], ids)
    yield from differences("input_ids where there is padding", ids, padding)
    yield from _inner_padding_faults(pack, starts, sizes, recipe)
    for row in pack.positions:
        yield from differences("position_ids of the tail", row[used:], np.arange(length - used), used)
    trained = [Modality.TEXT, *([Modality.DISCRETE] if recipe.trains_discrete else [])]
    wrong = (labels != IGNORE) & ((labels != ids) | ~np.isin(modality, trained))
    wrong[starts] |= labels[starts] != IGNORE
    for place in np.flatnonzero(wrong)[:1]:
        yield f"labels[{place}] is {labels[place]}; {IGNORE} or the id of a trained token expected"
    yield from _view_faults(pack, recipe, special)


def _inner_padding_faults(pack: Pack, starts: list[int], sizes: list[int], recipe: Recipe) -> Iterator[str]:
    """Positions of the padding that aligns a document go on after it, in every row alike."""
    for start, size in zip(starts, sizes, strict=True):
        end = start + aligned(size, recipe)
        after = max((row[start : start + size].max() for row in pack.positions), default=0) + 1
        for row in pack.positions:
            expected = after + np.arange(end - start - size)
            yield from differences("position_ids of alignment", row[start + size : end], expected, start + size)


def _view_faults(pack: Pack, recipe: Recipe, special: Mapping[str, int]) -> Iterator[str]:
    """Placeholders without a view or the other way round, views out of order, limits exceeded."""
    limits = recipe.job.pack.limits
    is_placeholder = pack.tokens["input_ids"] == special["placeholder"]
    modality = pack.tokens["modality"]
    for i, sample in enumerate(pack.samples):
        place = slice(sample["start"], sample["start"] + sample["length"])
        num_tokens = sum(view["tokens"] for view in pack.views if view["sample"] == i)
        # A newline embedding is a placeholder that no view's feature replaces.
        num_newlines = int((is_placeholder & (modality == Modality.MARKER))[place].sum())
        found = int(is_placeholder[place].sum())
        if found != num_tokens + num_newlines:
            yield f"sample {i} has {found} placeholders; {num_tokens} of its views and {num_newlines} newlines expected"
    for k, view in enumerate(pack.views):
        if view["tokens"] and modality[min(max(view["start"], 0), len(modality) - 1)] != Modality.IMAGE:
            yield f"view {k} starts at token {view['start']}, which is no image token"
    order = [(view["sample"], view["image"]) for view in pack.views]
    if order != sorted(order):
        yield "views are not in the order of their images"
    patches = sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in pack.views)
    squares = sum(aligned(sample["length"], recipe) ** 2 for sample in pack.samples)
    held = {"images": len(set(order)), "patches": patches, "tiles": len(pack.views), "squares": squares}
    for name, found in held.items():
        limit = getattr(limits, name)
        if limit is not None and found > limit:
            yield f"holds {found} {name}; at most {limit} expected"


def differences(name: str, found: Any, expected: Any, start: int = 0) -> Iterator[str]:
    """The first place at which two arrays differ, if they do; start: the first one's place in the row."""
    if len(found) != len(expected):
        yield f"{name} has {len(found)} values; {len(expected)} expected"
    elif (wrong := np.flatnonzero(found != expected)).size:
        first = int(wrong[0])
        more = f" (and {wrong.size - 1} more)" if wrong.size > 1 else ""
        yield f"{name}[{first + start}] is {found[first]}; {expected[first]} expected{more}"

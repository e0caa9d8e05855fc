"""Counts the documents of an index by their segments, without an object a token."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.output import Output
from jobs.stats.facts import Facts, sample_names
from pipeline.copies import num_copies
from pipeline.derived import original_of
from pipeline.types import Modality, SegmentKind

VISUAL = (Modality.IMAGE, Modality.VIDEO, Modality.DISCRETE)
COLUMNS = (
    *("id.shard", "id.ordinal"),
    *(f"segments.list.element.{name}" for name in ("kind", "role", "ids")),
    *(f"segments.list.element.runs.list.element.{name}" for name in ("modality", "count")),
    *(f"segments.list.element.reduction.{name}" for name in ("num_tokens", "num_kept")),
)

Ints = npt.NDArray[np.int64]


def read_index(output: Output, weight: float, late: pa.Array, has_start: bool, path: str) -> Facts:
    """Counts of an index, each document as often as it is packed; one row group is in memory.

    So tokens close with those of the version. `text` has the end token of each document and `markers` its start token,
    where the family has one (has_start); a split document has them once, a conversation's are its template's. What
    fills up alignment and the ends of sequences is no document's. late: names of samples that are in no pack, as their
    damage showed only while packs were written.
    """
    facts = Facts()
    for table in output.tables(path, COLUMNS):
        is_late = _numpy(pc.is_in(sample_names(table["id"]), value_set=late))
        copies = np.where(is_late, 0, _copies(table["id"], weight))
        facts.add(_measure(table["segments"].combine_chunks(), copies, has_start))
    return facts


def _measure(documents: pa.ListArray, copies: Ints, has_start: bool) -> Facts:
    """Counts of documents by their segments; copies: how often each is packed."""
    segments = documents.flatten()
    of_document, runs = _borders(documents), segments.field("runs")
    of_segment, parts = _borders(runs), runs.flatten()
    modality, count = (_numpy(parts.field(name)) for name in ("modality", "count"))
    is_image = _numpy(segments.field("kind")) == SegmentKind.IMAGE
    num_ids = np.diff(_borders(segments.field("ids")))
    reduced = [_numpy(pc.fill_null(segments.field("reduction").field(name), 0)) for name in ("num_tokens", "num_kept")]
    visual = _sums(count * np.isin(modality, VISUAL), of_segment) - reduced[0] + reduced[1]
    times = np.repeat(copies, np.diff(of_document))
    laid_out = count * np.repeat(times, np.diff(of_segment))
    num_framed = int(copies[_sums(_numpy(segments.field("role").is_valid()), of_document) == 0].sum())
    tokens = {
        "text": int(num_ids @ times) + int(laid_out[modality == Modality.TEXT].sum()) + num_framed,
        "visual": int(visual @ times),
        "markers": int(laid_out[modality == Modality.MARKER].sum()) + num_framed * has_start,
    }
    return Facts(
        tokens=Counter(tokens),
        images_per_document=_spread(_sums(is_image, of_document), copies),
        texts_per_document=_spread(_sums(~is_image, of_document), copies),
        tokens_per_image=_spread(visual[is_image], times[is_image]),
        tokens_per_text=_spread(num_ids[~is_image], times[~is_image]),
    )


def _copies(ids: pa.ChunkedArray, weight: float) -> Ints:
    """How often each sample is packed."""
    if weight == 1:
        return np.ones(len(ids), np.int64)
    shards, ordinals = (pc.struct_field(ids, name).to_pylist() for name in ("shard", "ordinal"))
    named = zip(shards, ordinals, strict=True)
    return np.array([num_copies(shard, original_of(ordinal), weight) for shard, ordinal in named], np.int64)


def _numpy(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """bool, or int64: sums of 8-bit numbers would overflow."""
    found = np.asarray(values)
    return found if found.dtype == np.bool_ else found.astype(np.int64)


def _borders(lists: pa.ListArray) -> Ints:
    """Where each list begins in the flattened values, and where the last one ends; a null counts as empty."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return np.concatenate([[0], np.cumsum(_numpy(lengths))])


def _sums(values: npt.NDArray[Any], borders: Ints) -> Ints:
    """The sum of the values between each two borders."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.asarray(running[borders[1:]] - running[borders[:-1]])


def _spread(values: Ints, times: Ints) -> Counter[int]:
    """How often each value is there, where each counts `times`."""
    found, place = np.unique(values, return_inverse=True)
    amounts = np.zeros(len(found), np.int64)
    np.add.at(amounts, place, times)
    return Counter({int(value): int(amount) for value, amount in zip(found, amounts, strict=True) if amount})

"""What measured documents put into a sequence, counted in columns.

A unit may have 80,000 documents. As Python objects each took 0.2 ms to make and as long to look at; a column takes
some microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.vocabulary import Vocabulary
from pipeline.types import Modality, SegmentKind

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

COLUMNS = ("segments", "plans", "tokens", "trained", "runs", "reductions")
"""What is looked at."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Of documents [n], whose segments [s] follow each other."""

    borders: Integers
    """Where the segments of each document begin, and their number [n + 1]."""
    running: Integers
    """Tokens, images, patches and tiles of all segments before each, and of all [s + 1, 4]."""
    is_framed: Booleans
    """Whether start and end tokens frame it, as they do all but conversations [n]."""
    num_trained: Integers
    """Tokens that have a label, as `layout.num_trained` counts those of one row [n]."""


@dataclass(frozen=True, slots=True)
class _Segments:
    """Columns of segments, and of the images among them."""

    borders: Integers
    is_image: Booleans
    num_tokens: Integers
    """Of texts; 0 of images."""
    role: pa.Array
    runs: pa.ListArray
    """Of each image."""


def loads_of(batch: pa.RecordBatch, vocabulary: Vocabulary) -> Loads:
    """The loads of measured rows, of which none is rejected or withheld."""
    segments = batch["segments"].flatten()
    found = _Segments(
        borders=offsets(batch["segments"]),
        is_image=_booleans(pc.equal(segments.field("kind"), SegmentKind.IMAGE)),
        num_tokens=lengths(batch["tokens"].flatten()),
        role=segments.field("role"),
        runs=batch["runs"].flatten(),
    )
    views = batch["plans"].flatten().field("views")
    each = views.flatten()
    patches = np.prod([_integers(each.field(name)) for name in ("grid_t", "grid_h", "grid_w")], axis=0)
    tokens = found.num_tokens.copy()
    tokens[found.is_image] = _sums(_integers(found.runs.flatten().field("count")), offsets(found.runs)) - _gone(batch)
    running = np.zeros((len(tokens) + 1, 4), np.int64)
    np.cumsum(tokens, out=running[1:, 0])
    np.cumsum(found.is_image, out=running[1:, 1])
    for place, of_image in ((2, _sums(patches, offsets(views))), (3, lengths(views))):
        column = np.zeros(len(tokens), np.int64)
        column[found.is_image] = of_image
        np.cumsum(column, out=running[1:, place])
    is_framed = _sums(_booleans(found.role.is_valid()), found.borders) == 0
    trained = _trained(found, batch, is_framed, vocabulary)
    if vocabulary.trains_discrete:
        trained += _discrete_trained(found, is_framed, vocabulary)
    return Loads(found.borders, running, is_framed, trained)


def lengths(lists: pa.ListArray) -> Integers:
    """Of each list, 0 where it is null."""
    return _integers(pc.fill_null(pc.list_value_length(lists), 0))


def offsets(lists: pa.ListArray) -> Integers:
    """Where each list begins in the flattened values, and their number."""
    return np.concatenate([[0], np.cumsum(lengths(lists))])


def _gone(batch: pa.RecordBatch) -> Integers:
    """Tokens of each image that a reduction leaves no place; documents without reductions have an empty list."""
    num_images, reductions = lengths(batch["runs"]), batch["reductions"]
    gone = np.zeros(int(num_images.sum()), np.int64)
    found = reductions.flatten()
    less = pc.subtract(found.field("num_tokens"), found.field("num_kept"))
    less = pc.if_else(found.is_valid(), less, 0)
    gone[np.repeat(lengths(reductions) > 0, num_images)] = _integers(pc.fill_null(less, 0))
    return gone


def _trained(found: _Segments, batch: pa.RecordBatch, is_framed: Booleans, vocabulary: Vocabulary) -> Integers:
    """Labels of texts and of end tokens; a document's first token has none."""
    trained = batch["trained"].flatten()
    starts, says = offsets(trained), _booleans(trained.flatten())
    is_said = lengths(trained) > 0  # otherwise all of a segment is trained
    labels = np.where(is_said, _sums(says, starts), found.num_tokens)
    begins = found.num_tokens > 0
    begins[is_said] = says[starts[:-1][is_said]]
    first, has_first = _first(found.is_image | (found.num_tokens > 0), found.borders)
    is_started = is_framed & (vocabulary.document_start is not None)
    lost = has_first & ~is_started & ~found.is_image[first] & begins[first] if len(labels) else has_first
    return _sums(labels, found.borders) - lost + (is_framed & (is_started | has_first))


def _discrete_trained(found: _Segments, is_framed: Booleans, vocabulary: Vocabulary) -> Integers:
    """Labels of images that are written as ids, where the assistant shows them or nobody speaks."""
    if not len(found.is_image):
        return np.zeros(len(is_framed), np.int64)
    runs, starts = found.runs.flatten(), offsets(found.runs)
    is_discrete = _integers(runs.field("modality")) == Modality.DISCRETE
    labels, begins, has_runs = np.zeros(len(found.is_image), np.int64), *np.zeros((2, len(found.is_image)), bool)
    labels[found.is_image] = _sums(_integers(runs.field("count")) * is_discrete, starts)
    has_runs[found.is_image] = np.diff(starts) > 0
    begins[has_runs] = is_discrete[starts[:-1][np.diff(starts) > 0]]
    trains = _booleans(pc.fill_null(pc.equal(found.role, "assistant"), True))
    first, has_first = _first(has_runs | (found.num_tokens > 0), found.borders)
    is_started = is_framed & (vocabulary.document_start is not None)
    lost: Integers = (has_first & ~is_started & trains[first] & begins[first]).astype(np.int64)
    return _sums(labels * trains, found.borders) - lost


def _first(chosen: Booleans, borders: Integers) -> tuple[Integers, Booleans]:
    """The first chosen segment of each document (of one that has none, any), and whether it has one."""
    places = np.append(np.flatnonzero(chosen), len(chosen))
    first = places[np.searchsorted(places, borders[:-1])]
    return np.minimum(first, max(0, len(chosen) - 1)), first < borders[1:]


def _sums(values: npt.NDArray[np.generic], borders: Integers) -> Integers:
    """Of the values between each two borders."""
    found: Integers = np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[borders])
    return found


def _integers(values: pa.Array) -> Integers:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.int64)


def _booleans(values: pa.Array) -> Booleans:
    return np.asarray(values.to_numpy(zero_copy_only=False), bool)

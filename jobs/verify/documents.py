"""What the tokens of a document, and of a part of it, must be: from the index, apart from the build's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.verify.plans import Ints, lay_runs
from jobs.verify.records import Positions
from pipeline.types import Modality, SegmentKind

Row = dict[str, Any]
IGNORE = -100
SHARED = ("kind", "box", "row", "col", "height", "width", "grid_t", "grid_h", "grid_w", "budget", "relevance")
"""Columns that a pack's view repeats from the plan."""


@dataclass(frozen=True, slots=True)
class Part:
    """n tokens of a document: ids, labels, modality [n]; positions [R, n], from 0; weight: of each trained token."""

    ids: Ints
    labels: Ints
    modality: Ints
    positions: npt.NDArray[np.int64] | npt.NDArray[np.floating[Any]]
    num_trained: int
    """In the whole document."""


@dataclass(frozen=True, slots=True)
class Document:
    """All n tokens of a document: ids, labels, modality [n], and the m that it had before any reduction.

    stays [m]: which of them are the n. cells [2, m]: native row and column of visual tokens. stretch [m]: 0 where a
    token advances all positions as text does; otherwise the number of the stretch of visual tokens that share one
    start. borders: tokens at which a segment ends, hence a part may, and which of the m stands there.
    images: per image the first token; and of each view the first token, and how many it has.
    """

    ids: Ints
    labels: Ints
    modality: Ints
    stays: npt.NDArray[np.bool_]
    cells: Ints
    stretch: Ints
    borders: dict[int, int]
    images: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    segments: tuple[Row, ...]
    """The index's image segments, one per entry of `images`."""

    def part(self, start: int, end: int, positions: Positions) -> Part:
        """The tokens start..end-1, with positions of their own by the profile's rule."""
        labels = self.labels[start:end].copy()
        labels[:1] = IGNORE
        # A part that is cut elsewhere than at a border is a finding of its own.
        first, last = (self.borders.get(place, place) for place in (start, end))
        whole = (
            self._fractions(first, last, positions.stride)
            if positions.rule == "v2pe"
            else self._positions(first, last, positions.num_rows)
        )
        placed = whole[:, self.stays[first:last]]
        num_trained = int((self.labels[1:] != IGNORE).sum())
        return Part(self.ids[start:end], labels, self.modality[start:end], placed, num_trained)

    def _positions(self, start: int, end: int, num_rows: int) -> Ints:
        if num_rows == 1:
            return np.arange(end - start)[np.newaxis]
        blocks = [np.empty((num_rows, 0), np.int64)]
        following = 0
        for first, last, is_visual in self._stretches(start, end):
            block = np.tile(np.arange(last - first), (num_rows, 1))
            if is_visual:
                still = np.zeros((num_rows - 2, last - first), np.int64)
                block = np.concatenate([still, self.cells[:, first:last]])
            blocks.append(block + following)
            following += int(block.max(initial=-1)) + 1
        return np.concatenate(blocks, axis=1)

    def _fractions(self, start: int, end: int, stride: int) -> npt.NDArray[np.floating[Any]]:
        blocks: list[npt.NDArray[np.floating[Any]]] = [np.empty(0)]
        following = 0.0
        for first, last, is_visual in self._stretches(start, end):
            step = stride / 256 if is_visual else 1.0
            blocks.append(following - 1 + step * np.arange(1, last - first + 1))
            following = float(np.ceil(blocks[-1][-1])) + 1
        found: npt.NDArray[np.floating[Any]] = np.concatenate(blocks)[np.newaxis]
        return found

    def _stretches(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """First and last token of each stretch, and whether it is visual."""
        stretch = self.stretch[start:end]
        borders = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), end - start]
        for first, last in pairwise(borders):
            if last > first:
                yield start + first, start + last, bool(stretch[first])

    def views(self, start: int, end: int) -> Iterator[tuple[Row, Row]]:
        """Each view of the images in start..end-1, as a pack has it (start counted from `start`), and its segment."""
        for number, (first, spans) in enumerate(self.images):
            if start <= first < end:
                segment = self.segments[number]
                for view, (place, tokens) in zip(segment["plan"]["views"], spans, strict=True):
                    shared = {name: view[name] for name in SHARED}
                    yield shared | {"image": number, "start": place - start, "tokens": tokens}, segment


def read_document(row: Row, special: Mapping[str, int], *, trains_discrete: bool = False) -> Document:
    """The document of one row of the index; trains_discrete: whether images that are written as ids have labels."""
    length, reduced, stretches = 0, 0, 0
    columns: list[tuple[Ints, Ints, Ints, Ints, Ints]] = []
    stays: list[npt.NDArray[np.bool_]] = []
    ends: list[tuple[int, int]] = []
    images: list[tuple[int, tuple[tuple[int, int], ...]]] = []
    is_chat = any(segment["role"] is not None for segment in row["segments"])
    if "document_start" in special and not is_chat:
        columns.append(_plain([special["document_start"]], [IGNORE], Modality.MARKER))
        stays.append(np.ones(1, bool))
        length = reduced = 1
    for segment in row["segments"]:
        if segment["kind"] == SegmentKind.TEXT:
            columns.append(_plain(segment["ids"], segment["labels"], Modality.TEXT))
            stays.append(np.ones(len(segment["ids"]), bool))
        else:
            ids, modality, view = lay_runs(segment["runs"])
            is_trained = trains_discrete and segment["role"] in {None, "assistant"}
            labels = np.where(is_trained & (modality == Modality.DISCRETE), ids, IGNORE)
            changes = np.cumsum(np.diff(view >= 0, prepend=False)) + 1
            cells, stretch = _cells(view, segment["plan"]["views"]), (view >= 0) * (stretches + changes)
            columns.append((ids, labels, modality, cells, stretch))
            stretches += int(changes[-1])
            stays.append(_staying(view, segment["reduction"]))
            images.append((reduced, tuple(_spans(view, stays[-1], reduced, len(segment["plan"]["views"])))))
        length += len(columns[-1][0])
        reduced += int(stays[-1].sum())
        ends.append((reduced, length))
    if not is_chat:
        columns.append(_plain([special["document_end"]], [special["document_end"]], Modality.TEXT))
        stays.append(np.ones(1, bool))
        length, reduced = length + 1, reduced + 1
    # The end token belongs to the last segment: no part is cut between them.
    borders = dict([(0, 0), *ends[:-1], (reduced, length)])
    ids, labels, modality, cells, stretch = (np.concatenate(column, axis=-1) for column in zip(*columns, strict=True))
    left = np.concatenate(stays)
    segments = tuple(segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE)
    return Document(ids[left], labels[left], modality[left], left, cells, stretch, borders, tuple(images), segments)


def _staying(view: Ints, reduction: Row | None) -> npt.NDArray[np.bool_]:
    """Which tokens of an image's layout have a place: markers, and visual ones that are kept."""
    if reduction is None or reduction["kept"] is None:
        return np.ones(len(view), bool)
    stays = view < 0
    visual = np.flatnonzero(~stays)
    stays[visual[[i for i in reduction["kept"] if i < len(visual)]]] = True
    return np.asarray(stays)


def _spans(view: Ints, stays: npt.NDArray[np.bool_], start: int, num_views: int) -> Iterator[tuple[int, int]]:
    """First token and number of tokens of each view; of one without any, where its first would stand."""
    for k in range(num_views):
        own = np.flatnonzero((view == k) & stays)
        places = own if len(own) else np.flatnonzero(view == k)
        before = int(places[0]) if len(places) else len(view)
        yield start + int(stays[:before].sum()), len(own)


def _plain(ids: list[int], labels: list[int], modality: Modality) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    count = len(ids)
    zeros = np.zeros(count, np.int64)
    return (
        np.array(ids, np.int64),
        np.array(labels, np.int64),
        np.full(count, modality),
        np.zeros((2, count), np.int64),
        zeros,
    )


def _cells(view: Ints, views: list[Row]) -> Ints:
    """For each token the native cell under its centre: the i-th of n rows lies (2i + 1) / 2n down its rectangle."""
    cells = np.zeros((2, len(view)), np.int64)
    for k, plan in enumerate(views):
        places = np.flatnonzero(view == k)
        down, across = np.divmod(np.arange(len(places)), max(1, plan["cols"]))
        top, left, bottom, right = plan["cells"]
        cells[0, places] = top + (2 * down + 1) * (bottom - top) // max(1, 2 * plan["rows"])
        cells[1, places] = left + (2 * across + 1) * (right - left) // max(1, 2 * plan["cols"])
    return cells

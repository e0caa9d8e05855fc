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
SHARED = ("kind", "box", "row", "col", "height", "width", "grid_t", "grid_h", "grid_w", "tokens", "budget", "relevance")
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
    """All n tokens of a document: ids, labels, modality [n]; cells [2, n], native row and column of visual tokens.

    stretch [n]: 0 where a token advances all positions as text does; otherwise the number of the stretch of visual
    tokens that share one start. borders: tokens at which a segment ends, hence a part may. images: per image the
    first token and the first token of each view.
    """

    ids: Ints
    labels: Ints
    modality: Ints
    cells: Ints
    stretch: Ints
    borders: frozenset[int]
    images: tuple[tuple[int, tuple[int, ...]], ...]
    segments: tuple[Row, ...]
    """The index's image segments, one per entry of `images`."""

    def part(self, start: int, end: int, positions: Positions) -> Part:
        """The tokens start..end-1, with positions of their own by the profile's rule."""
        labels = self.labels[start:end].copy()
        labels[:1] = IGNORE
        placed = (
            self._fractions(start, end, positions.stride)
            if positions.rule == "v2pe"
            else self._positions(start, end, positions.num_rows)
        )
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
        for number, (first, view_starts) in enumerate(self.images):
            if start <= first < end:
                segment = self.segments[number]
                for view, place in zip(segment["plan"]["views"], view_starts, strict=True):
                    shared = {name: view[name] for name in SHARED}
                    yield shared | {"image": number, "start": place - start}, segment


def read_document(row: Row, special: Mapping[str, int], *, trains_discrete: bool = False) -> Document:
    """The document of one row of the index; trains_discrete: whether images that are written as ids have labels."""
    length, stretches = 0, 0
    columns: list[tuple[Ints, Ints, Ints, Ints, Ints]] = []
    ends: list[int] = []
    images: list[tuple[int, tuple[int, ...]]] = []
    is_chat = any(segment["role"] is not None for segment in row["segments"])
    if "document_start" in special and not is_chat:
        columns.append(_plain([special["document_start"]], [IGNORE], Modality.MARKER))
        length += 1
    for segment in row["segments"]:
        if segment["kind"] == SegmentKind.TEXT:
            columns.append(_plain(segment["ids"], segment["labels"], Modality.TEXT))
        else:
            ids, modality, view = lay_runs(segment["runs"])
            is_trained = trains_discrete and segment["role"] in {None, "assistant"}
            labels = np.where(is_trained & (modality == Modality.DISCRETE), ids, IGNORE)
            changes = np.cumsum(np.diff(view >= 0, prepend=False)) + 1
            cells, stretch = _cells(view, segment["plan"]["views"]), (view >= 0) * (stretches + changes)
            columns.append((ids, labels, modality, cells, stretch))
            stretches += int(changes[-1])
            found = [np.flatnonzero(view == k) for k in range(len(segment["plan"]["views"]))]
            starts = tuple(length + (int(places[0]) if len(places) else len(view)) for places in found)
            images.append((length, starts))
        length += len(columns[-1][0])
        ends.append(length)
    if not is_chat:
        columns.append(_plain([special["document_end"]], [special["document_end"]], Modality.TEXT))
        length += 1
    # The end token belongs to the last segment: no part is cut between them.
    borders = frozenset([0, *ends[:-1], length])
    ids, labels, modality, cells, stretch = (np.concatenate(column, axis=-1) for column in zip(*columns, strict=True))
    segments = tuple(segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE)
    return Document(ids, labels, modality, cells, stretch, borders, tuple(images), segments)


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

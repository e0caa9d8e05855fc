"""What the tokens of a document, and of a part of it, must be: from the index, apart from the build's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from jobs.verify.plans import Ints, lay_image
from pipeline.types import Modality, SegmentKind

Row = dict[str, Any]
SHARED = ("kind", "box", "row", "col", "height", "width", "grid_t", "grid_h", "grid_w", "tokens", "budget", "relevance")
"""Columns that a pack's view repeats from the plan."""


@dataclass(frozen=True, slots=True)
class Part:
    """n tokens of a document: ids, modality [n]; positions [1 or 3, n], from 0."""

    ids: Ints
    modality: Ints
    positions: Ints


@dataclass(frozen=True, slots=True)
class Document:
    """All n tokens of a document: ids, modality [n]; cells [2, n], the native row and column of visual tokens.

    stretch [n]: 0 where a token advances all positions as text does; otherwise the number of the stretch of visual
    tokens that share one start. borders: tokens at which a segment ends, hence a part may. images: per image the
    first token and the first token of each view.
    """

    ids: Ints
    modality: Ints
    cells: Ints
    stretch: Ints
    borders: frozenset[int]
    images: tuple[tuple[int, tuple[int, ...]], ...]
    segments: tuple[Row, ...]
    """The index's image segments, one per entry of `images`."""

    def part(self, start: int, end: int, rule: str) -> Part:
        """The tokens start..end-1, with positions of their own by the profile's rule."""
        return Part(self.ids[start:end], self.modality[start:end], self._positions(start, end, rule))

    def _positions(self, start: int, end: int, rule: str) -> Ints:
        if rule == "1d":
            return np.arange(end - start)[np.newaxis]
        stretch, cells = self.stretch[start:end], self.cells[:, start:end]
        borders = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), end - start]
        blocks = [np.empty((3, 0), np.int64)]
        following = 0
        for first, last in pairwise(borders):
            block = np.tile(np.arange(last - first), (3, 1))
            if last > first and stretch[first]:
                block = np.concatenate([np.zeros((1, last - first), np.int64), cells[:, first:last]])
            blocks.append(block + following)
            following += int(block.max(initial=-1)) + 1
        return np.concatenate(blocks, axis=1)

    def views(self, start: int, end: int) -> Iterator[tuple[Row, Row]]:
        """Each view of the images in start..end-1, as a pack has it (start counted from `start`), and its segment."""
        for number, (first, view_starts) in enumerate(self.images):
            if start <= first < end:
                segment = self.segments[number]
                for view, place in zip(segment["plan"]["views"], view_starts, strict=True):
                    shared = {name: view[name] for name in SHARED}
                    yield shared | {"image": number, "start": place - start}, segment


def read_document(row: Row, special: Mapping[str, int]) -> Document:
    """The document of one row of the index."""
    length, stretches = 0, 0
    columns: list[tuple[Ints, Ints, Ints, Ints]] = []
    ends: list[int] = []
    images: list[tuple[int, tuple[int, ...]]] = []
    if "document_start" in special:
        columns.append(_plain([special["document_start"]], Modality.MARKER))
        length += 1
    for segment in row["segments"]:
        if segment["kind"] == SegmentKind.TEXT:
            columns.append(_plain(segment["ids"], Modality.TEXT))
        else:
            ids, modality, view = lay_image(segment["plan"], special)
            changes = np.cumsum(np.diff(view >= 0, prepend=False)) + 1
            columns.append((ids, modality, _cells(view, segment["plan"]["views"]), (view >= 0) * (stretches + changes)))
            stretches += int(changes[-1])
            found = [np.flatnonzero(view == k) for k in range(len(segment["plan"]["views"]))]
            starts = tuple(length + (int(places[0]) if len(places) else len(view)) for places in found)
            images.append((length, starts))
        length += len(columns[-1][0])
        ends.append(length)
    columns.append(_plain([special["document_end"]], Modality.TEXT))
    # The end token belongs to the last segment: no part is cut between them.
    borders = frozenset([0, *ends[:-1], length + 1])
    ids, modality, cells, stretch = (np.concatenate(column, axis=-1) for column in zip(*columns, strict=True))
    segments = tuple(segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE)
    return Document(ids, modality, cells, stretch, borders, tuple(images), segments)


def _plain(ids: list[int], modality: Modality) -> tuple[Ints, Ints, Ints, Ints]:
    count = len(ids)
    zeros = np.zeros(count, np.int64)
    return np.array(ids, np.int64), np.full(count, modality), np.zeros((2, count), np.int64), zeros


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

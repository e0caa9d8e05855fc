"""Expands a measured document, or a part of one, into the ids, labels, positions and modalities of its tokens.

The one place where symbols become tokens. Building and re-planning both call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.positions import Image, Piece, PositionRule, Text
from operators.vocabulary import Vocabulary
from pipeline.operator import Row
from pipeline.types import Modality, SegmentKind

IGNORE = -100
"""Label of a token that is not trained, as torch's cross entropy has it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Segments first..last-1 of a copy of a document; the whole of it when it is part 0 of 1."""

    first: int
    last: int
    number: int = 0
    count: int = 1
    copy: int = 0

    @property
    def is_start(self) -> bool:
        return self.number == 0

    @property
    def is_end(self) -> bool:
        return self.number == self.count - 1


@dataclass(frozen=True, slots=True)
class LaidOut:
    """n tokens. ids, labels: int32 [n]; positions: int32 or float32 [R, n]; modality: int8 [n].

    view_starts, view_tokens: for each view of each image of the part, in order, the index of its first token, and how
    many it has.
    """

    ids: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    modality: np.ndarray
    view_starts: tuple[tuple[int, ...], ...]
    view_tokens: tuple[tuple[int, ...], ...]


def is_chat(row: Row) -> bool:
    """Whether a row is a conversation: its template framed it, so it has no start and end tokens of a document."""
    return any(segment["role"] is not None for segment in row["segments"])


def text_labels(row: Row, vocabulary: Vocabulary) -> list[list[int]]:
    """Labels of each segment's ids: the ids that are trained, but never the document's first token."""
    labels = [
        [i if kept else IGNORE for i, kept in zip(ids, trained, strict=True)] if trained else list(ids)
        for ids, trained in zip(row["tokens"], row["trained"], strict=True)
    ]
    opening = vocabulary.document_start is not None and not is_chat(row)
    for segment, found in zip(row["segments"], labels, strict=True):
        if not opening and found:
            found[0] = IGNORE
        opening = opening or bool(found) or segment["kind"] == SegmentKind.IMAGE
    return labels


def segment_tokens(row: Row) -> list[int]:
    """Tokens of each segment. A part has those of its segments and its `framing_tokens`, without laying it out."""
    gone = [one["num_tokens"] - one["num_kept"] if one else 0 for one in row["reductions"]] or [0] * len(row["runs"])
    images = [sum(run["count"] for run in runs) - less for runs, less in zip(row["runs"], gone, strict=True)]
    return [len(row["tokens"][i]) if n is None else images[n] for i, n in enumerate(image_numbers(row))]


def framing_tokens(part: Part, vocabulary: Vocabulary) -> int:
    """Start and end tokens of a document's part: its first has the one, its last the other."""
    return int(part.is_start and vocabulary.document_start is not None) + int(part.is_end)


def num_trained(row: Row, vocabulary: Vocabulary) -> int:
    """Tokens of the whole sample that have a label, as long as it is not split."""
    labels = text_labels(row, vocabulary)
    ends = 0 if is_chat(row) else int(vocabulary.document_start is not None or any(row["tokens"]) or bool(row["runs"]))
    discrete = _num_discrete_trained(row, vocabulary)
    return ends + discrete + sum(label != IGNORE for segment in labels for label in segment)


def trains_image(segment: Row, vocabulary: Vocabulary) -> bool:
    """Whether an image that is written as ids has labels: of a conversation where the assistant shows it."""
    return vocabulary.trains_discrete and segment["role"] in (None, "assistant")


def _num_discrete_trained(row: Row, vocabulary: Vocabulary) -> int:
    """Labelled ids of the sample's images; the first token of a sample never has a label."""
    count = 0
    is_start = vocabulary.document_start is None or is_chat(row)
    for i, number in enumerate(image_numbers(row)):
        runs = [] if number is None else row["runs"][number]
        if trains_image(row["segments"][i], vocabulary):
            found = [run["count"] for run in runs if run["modality"] == Modality.DISCRETE]
            count += sum(found) - int(is_start and bool(found) and runs[0]["modality"] == Modality.DISCRETE)
        is_start = is_start and not runs and not row["tokens"][i]
    return count


def image_numbers(row: Row) -> list[int | None]:
    """For each segment the number of its image in the document, or None for text."""
    numbers: list[int | None] = []
    count = 0
    for segment in row["segments"]:
        is_image = segment["kind"] == SegmentKind.IMAGE
        numbers.append(count if is_image else None)
        count += is_image
    return numbers


def pad_to(laid: LaidOut, align: int, padding: int) -> LaidOut:
    """The same, followed by as much padding as makes its length a multiple of `align`; positions go on as for text."""
    missing = -len(laid.ids) % align
    if not missing:
        return laid
    following = laid.positions.max() + 1
    rows = np.tile(following + np.arange(missing, dtype=laid.positions.dtype), (len(laid.positions), 1))
    return LaidOut(
        np.concatenate([laid.ids, np.full(missing, padding, np.int32)]),
        np.concatenate([laid.labels, np.full(missing, IGNORE, np.int32)]),
        np.concatenate([laid.positions, rows.astype(laid.positions.dtype)], axis=1),
        np.concatenate([laid.modality, np.full(missing, Modality.PADDING, np.int8)]),
        laid.view_starts,
        laid.view_tokens,
    )


def lay_out(row: Row, part: Part, vocabulary: Vocabulary, rule: PositionRule) -> LaidOut:
    """The tokens of `part` of a measured row.

    Labels are the ids of text that is trained and of the end token, and of images that are written as ids if the job
    trains them; -100 on everything else that is visual, on markers, on what a conversation does not train, and on the
    first token of the part, whose predecessor in a packed row belongs to another document. What a reduction leaves has
    the positions that it has without.
    """
    ids: list[int] = []
    """Of each run of equal tokens; a text is one run a token."""
    labels: list[int] = []
    kinds: list[int] = []
    counts: list[int] = []
    pieces: list[Piece] = []
    images: list[tuple[int, Sequence[Row], int]] = []
    """The first token of each, its runs, and its number."""
    length = 0
    is_framed = not is_chat(row)

    def add_text(found: Sequence[int], kind: Modality, trained: Sequence[bool] = ()) -> None:
        nonlocal length
        ids.extend(found)
        if trained:
            labels.extend(i if kept else IGNORE for i, kept in zip(found, trained, strict=True))
        else:
            labels.extend(found if kind == Modality.TEXT else [IGNORE] * len(found))
        kinds.extend([int(kind)] * len(found))
        counts.extend([1] * len(found))
        pieces.append(Text(len(found)))
        length += len(found)

    if is_framed and part.is_start and vocabulary.document_start is not None:
        add_text([vocabulary.document_start], Modality.MARKER)
    numbers = image_numbers(row)
    for i in range(part.first, part.last):
        number = numbers[i]
        if number is None:
            add_text(row["tokens"][i], Modality.TEXT, row["trained"][i])
            continue
        plan, runs = row["plans"][number], row["runs"][number]
        trains = trains_image(row["segments"][i], vocabulary)
        for run in runs:
            ids.append(run["id"])
            labels.append(run["id"] if trains and run["modality"] == Modality.DISCRETE else IGNORE)
            kinds.append(run["modality"])
            counts.append(run["count"])
        images.append((length, runs, number))
        length += sum(run["count"] for run in runs)
        pieces.append(Image(plan["views"], runs))
    if is_framed and part.is_end:
        add_text([vocabulary.document_end], Modality.TEXT)
    repeats = np.array(counts, np.int64)
    columns = [np.repeat(np.array(column, np.int32), repeats) for column in (ids, labels, kinds)]
    positions = rule.positions(pieces)
    columns[1][:1] = IGNORE
    if any(row["reductions"]):
        return _reduced(row, images, columns, positions)
    starts, sizes = [], []
    for start, runs, number in images:
        spans = _spans(runs, len(row["plans"][number]["views"]))
        starts.append(tuple(start + first for first, _ in spans))
        sizes.append(tuple(count for _, count in spans))
    one, two, three = columns
    return LaidOut(one, two, positions, three.astype(np.int8), tuple(starts), tuple(sizes))


def _spans(runs: Sequence[Row], num_views: int) -> list[tuple[int, int]]:
    """For each view of an image the place of its first token in the image, or the image's end, and how many it has."""
    found = [[-1, 0] for _ in range(num_views)]
    place = 0
    for run in runs:
        if run["view"] >= 0 and run["count"]:
            span = found[run["view"]]
            span[0] = place if span[0] < 0 else span[0]
            span[1] += run["count"]
        place += run["count"]
    return [(place if first < 0 else first, count) for first, count in found]


def _reduced(
    row: Row, images: Sequence[tuple[int, Sequence[Row], int]], columns: Sequence[np.ndarray], positions: np.ndarray
) -> LaidOut:
    """What reductions leave of a laid out document. `columns`: ids, labels and modalities of its tokens."""
    stays = np.ones(len(columns[0]), bool)
    owners = [np.repeat([run["view"] for run in runs], [run["count"] for run in runs]) for _, runs, _ in images]
    for (start, _, number), own in zip(images, owners, strict=True):
        reduction = row["reductions"][number]
        if reduction is not None and (kept := reduction["kept"]) is not None:
            stays[start + np.delete(np.flatnonzero(own >= 0), kept)] = False
    ids, labels, modality = (column[stays] for column in columns)
    labels[:1] = IGNORE
    before = np.concatenate([[0], np.cumsum(stays)])
    starts, sizes = [], []
    for (start, _, number), own in zip(images, owners, strict=True):
        # A view of which no token stays begins where its first one would be.
        places = [start + np.flatnonzero(own == view) for view in range(len(row["plans"][number]["views"]))]
        stayed = [all_of[stays[all_of]] for all_of in places]
        firsts = [[*some, *all_of, start + len(own)][0] for some, all_of in zip(stayed, places, strict=True)]
        starts.append(tuple(int(before[first]) for first in firsts))
        sizes.append(tuple(len(some) for some in stayed))
    return LaidOut(ids, labels, positions[:, stays], modality.astype(np.int8), tuple(starts), tuple(sizes))

"""A document as views are made of it: what each segment holds, and which steps they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from pipeline.operator import Row
from pipeline.types import SegmentKind

Part = int | str
"""A segment of the document by its place, or a text of ours."""


class Said(NamedTuple):
    """One segment of what a view makes. role: user or assistant of a conversation, None in a document."""

    part: Part
    role: str | None = None


@dataclass(frozen=True)
class Document:
    """What filters left of a document. A segment is meant by its place among those, from 0."""

    name: str
    """SHARD/KEY; orders are drawn from it."""
    contents: tuple[str | bytes, ...]
    """Of each segment its text, or the digest of its picture."""
    turns: tuple[int, ...]
    """Of each segment the number of its step, from 1 on; 0: before the first, or its format knows no steps."""

    def is_image(self, i: int) -> bool:
        return isinstance(self.contents[i], bytes)

    @property
    def head(self) -> list[int]:
        """What stands before the first step, such as a title and a summary."""
        return [i for i, turn in enumerate(self.turns) if not turn and any(self.turns)]

    @cached_property
    def steps(self) -> list[list[int]]:
        """The segments of each step.

        Where no format numbers them, a step is an image with the text behind it or, in a document that begins with
        text, a text with the image behind it; of neighbours of one kind all are of one step.
        """
        places = range(len(self.contents))
        if any(self.turns):
            numbered = groupby((i for i in places if self.turns[i]), key=self.turns.__getitem__)
            return [list(step) for _, step in numbered]
        runs = [list(run) for _, run in groupby(places, key=self.is_image)]
        return [[i for run in runs[k : k + 2] for i in run] for k in range(0, len(runs), 2)]

    @property
    def texts(self) -> list[int]:
        """Texts of steps."""
        return [i for step in self.steps for i in step if not self.is_image(i)]

    @property
    def images(self) -> list[int]:
        """Images of steps."""
        return [i for step in self.steps for i in step if self.is_image(i)]

    @property
    def has_views(self) -> bool:
        """Whether there is an order and a pairing: two steps, and both a text and an image in them."""
        return len(self.steps) > 1 and bool(self.texts) and bool(self.images)


def document_of(row: Row) -> Document:
    """The document of a decoded row."""
    digests: Iterator[bytes] = (picture["digest"] for picture in row["pictures"])
    segments: Sequence[Row] = row["segments"]
    contents = tuple(next(digests) if one["kind"] == SegmentKind.IMAGE else str(one["text"]) for one in segments)
    return Document(f"{row['shard']}/{row['key']}", contents, tuple(one["turn"] for one in segments))

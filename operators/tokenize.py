"""Gives ids per text segment and one symbolic run list per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from operators.chat import ChatTemplate, render_conversation
from operators.discrete.layouts import DiscreteIds, discrete_runs
from operators.tokenizers import Tokenizer
from pipeline.operator import Row, map_rows
from pipeline.schema import SMALLS, TOKENIZED
from pipeline.types import SegmentKind


class Tokenize:
    """Replaces text by `tokens` (one id list per segment, empty for images) and `layouts` by `runs` (ids, counts).

    Each text segment of a document is encoded by itself, so what stands beside a picture never depends on what stands
    behind it. A conversation is written by its family's template, and `trained` says which ids the assistant gave.
    """

    name = "tokenize"
    version = 2

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate | None = None, discrete: DiscreteIds | None = None
    ) -> None:
        """discrete: the ids of pictures that have `codes`."""
        self._tokenizer = tokenizer
        self._discrete = discrete
        self._template = template

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, TOKENIZED, self.name, self._tokenize, (SMALLS.name,))

    def _tokenize(self, row: Row) -> Row:
        segments: Sequence[Row] = row["segments"]
        if self._template is not None and any(segment["role"] is not None for segment in segments):
            tokens, trained = render_conversation(segments, self._template, self._tokenizer)
        else:
            texts = [segment["text"] for segment in segments if segment["kind"] == SegmentKind.TEXT]
            encoded = iter(self._tokenizer.encode(texts))
            tokens = [next(encoded) if segment["kind"] == SegmentKind.TEXT else [] for segment in segments]
            trained = [[] for _ in segments]
        return {
            "tokens": tokens,
            "trained": trained,
            "segments": [segment | {"text": None} for segment in segments],
            "runs": [self._runs(row["pictures"], *image) for image in enumerate(row["layouts"])],
        }

    def _runs(self, pictures: Sequence[Row], number: int, layout: Sequence[Row]) -> list[Row]:
        if layout or self._discrete is None:
            return list(lay_runs(layout, self._tokenizer))
        codes = pictures[number]["codes"]
        grid = np.array(codes["ids"], np.int32).reshape(codes["rows"], codes["cols"])
        return discrete_runs(grid, self._discrete, lambda text: self._tokenizer.encode([text])[0])


def lay_runs(layout: Sequence[Row], tokenizer: Tokenizer) -> Iterator[Row]:
    """Runs of ids of an image's layout: special tokens as they are, text between two of them encoded in one go."""
    special = tokenizer.special_ids
    for is_special, group in groupby(layout, key=lambda run: run["token"] in special):
        if is_special:
            yield from (run | {"id": special[run["token"]]} for run in group)
            continue
        marks = list(group)
        (ids,) = tokenizer.encode(["".join(run["token"] * run["count"] for run in marks)])
        for one, same in groupby(ids):
            yield marks[0] | {"id": one, "count": len(list(same))}

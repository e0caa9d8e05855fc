"""Gives ids per text segment and one symbolic run list per image."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from operators.tokenizers import Tokenizer
from pipeline.operator import Row, map_rows
from pipeline.schema import TOKENIZED
from pipeline.types import SegmentKind


class Tokenize:
    """Replaces text by `tokens` (one id list per segment, empty for images) and `layouts` by `runs` (ids, counts).

    Each text segment is encoded by itself, so what stands beside a picture never depends on what stands behind it.
    """

    name = "tokenize"
    version = 1

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, TOKENIZED, self.name, self._tokenize)

    def _tokenize(self, row: Row) -> Row:
        segments: Sequence[Row] = row["segments"]
        texts = [segment["text"] for segment in segments if segment["kind"] == SegmentKind.TEXT]
        encoded = iter(self._tokenizer.encode(texts))
        ids = self._tokenizer.special_ids
        return {
            "tokens": [next(encoded) if segment["kind"] == SegmentKind.TEXT else [] for segment in segments],
            "segments": [segment | {"text": None} for segment in segments],
            "runs": [[run | {"id": ids[run["token"]]} for run in layout] for layout in row["layouts"]],
        }

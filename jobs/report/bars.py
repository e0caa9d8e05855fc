"""A pack in a few hundred bytes, for a bar a row: what its tokens are and where its documents end."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.inspect.packs import count
from pipeline.operator import Row
from pipeline.types import Modality

CELLS = 192
"""Of a bar; at 1,400 px a cell is four pixels wide, and 10,000 packs take 2 MB."""


def bar(number: int, row: Row) -> list[Any]:
    """One pack as [id, cells, lengths, images, text, visual, markers, padding].

    cells: a digit each, the modality that most tokens of that stretch have; of short sequences fewer than CELLS.
    lengths: of the documents, in their order; counts are tokens.
    """
    counts = count(number, row)
    lengths = [int(sample["length"]) for sample in row["samples"]]
    return [row["pack_id"], _cells(row["modality"]), lengths, counts["num_images"], *counts["tokens"].values()]


def _cells(modality: np.ndarray) -> str:
    length = len(modality)
    starts = np.arange(min(CELLS, length)) * length // min(CELLS, length)
    kinds = range(len(Modality))
    amounts = np.stack([np.add.reduceat(modality == kind, starts, dtype=np.int64) for kind in kinds])
    return "".join(map(str, amounts.argmax(axis=0).tolist()))

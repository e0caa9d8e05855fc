"""What is counted of a source, in a shape that can be added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc


class Refused(NamedTuple):
    """What rows of REJECTS have in common."""

    level: str
    """sample, or segment: one that was dropped from a sample, which may go on without it."""
    reason: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts of one source, or of several added up."""

    documents: Counter[str] = field(default_factory=Counter)
    """By what became of them, as the version has it."""
    tokens: Counter[str] = field(default_factory=Counter)
    """text, visual, markers."""
    images_per_document: Counter[int] = field(default_factory=Counter)
    """How many packed documents have so many images."""
    texts_per_document: Counter[int] = field(default_factory=Counter)
    tokens_per_image: Counter[int] = field(default_factory=Counter)
    """How many packed images have so many visual tokens; their markers are apart."""
    tokens_per_text: Counter[int] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """All rows of REJECTS, by level and reason."""
    refused: Counter[Refused] = field(default_factory=Counter)
    """Rows of REJECTS, but of the segments of rejected samples."""

    def add(self, more: Self) -> None:
        for name in (found.name for found in fields(self)):
            getattr(self, name).update(getattr(more, name))


def total(found: Iterable[Facts]) -> Facts:
    """The facts of several sources as one."""
    together = Facts()
    for facts in found:
        together.add(facts)
    return together


def sample_names(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of each sample, its shard and ordinal as one word; no two have the same."""
    shard, ordinal = (pc.struct_field(ids, name) for name in ("shard", "ordinal"))
    return pc.binary_join_element_wise(shard, ordinal.cast(pa.string()), "#")

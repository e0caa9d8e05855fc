"""Texts that say the same again and again: shares of repeated runs of characters and of words, as ROOTS and OBELICS."""

from __future__ import annotations

from math import isqrt
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.filters.text_rule import TextRule
from operators.filters.wording import words
from pipeline.errors import Reason


def character_repetition(text: str, length: int) -> float:
    """Share of the most frequent runs among all runs of `length` characters of a text, 0 where it has none.

    Of D different runs the most frequent k count, with k the smaller of the whole root of D and the number of runs
    that stand there more than once.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    counts = run_counts(codes, length)
    k = min(isqrt(len(counts)), int((counts > 1).sum()))
    return _share(counts[:k], counts)


def word_repetition(text: str, length: int) -> float:
    """Share of runs of `length` words that stand more than once, among all such runs of a text, 0 where it has none."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(word, len(numbers)) for word in words(text)], np.int64)
    counts = run_counts(codes, length)
    return _share(counts[counts > 1], counts)


def run_counts(codes: np.ndarray, length: int) -> np.ndarray:
    """How often each different run of `length` codes stands there, largest first; int64, empty if there are fewer.

    Runs are numbered, then pairs of numbers half a run apart, so memory grows with the codes and not with `length`.
    """
    if len(codes) < length:
        return np.zeros(0, np.int64)
    _, ids = np.unique(codes, return_inverse=True)
    covered = 1
    while covered < length:
        step = min(covered, length - covered)
        _, ids = np.unique(ids[:-step] * (ids.max() + 1) + ids[step:], return_inverse=True)
        covered += step
    return np.sort(np.bincount(ids))[::-1]


def _share(some: np.ndarray, counts: np.ndarray) -> float:
    return int(some.sum()) / int(counts.sum()) if len(counts) else 0.0


class CharacterRepetition(TextRule):
    """Repeated runs of characters, of all texts of a document: `character_repetition`."""

    reason: ClassVar[Reason] = Reason.FILTER_CHARACTER_REPETITION
    level: ClassVar[Literal["node", "document"]] = "document"

    length: int = Field(10, ge=1, le=1000)
    """Characters in a run (OBELICS: 10)."""
    max: float = Field(0.1, ge=0, le=1)
    """Largest share that is allowed (OBELICS: .1)."""

    def complaint(self, text: str) -> str | None:
        share = character_repetition(text, self.length)
        if share <= self.max:
            return None
        return f"{share:.3f} of the runs of {self.length} characters are a few frequent ones; at most {self.max:g}"


class NodeCharacterRepetition(CharacterRepetition):
    """Repeated runs of characters, of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"


class WordRepetition(TextRule):
    """Repeated runs of words, of all texts of a document: `word_repetition`."""

    reason: ClassVar[Reason] = Reason.FILTER_WORD_REPETITION
    level: ClassVar[Literal["node", "document"]] = "document"

    length: int = Field(5, ge=1, le=1000)
    """Words in a run (OBELICS: 5)."""
    max: float = Field(0.2, ge=0, le=1)
    """Largest share that is allowed (OBELICS: .2)."""

    def complaint(self, text: str) -> str | None:
        share = word_repetition(text, self.length)
        if share <= self.max:
            return None
        return f"{share:.3f} of the runs of {self.length} words stand there more than once; at most {self.max:g}"


class NodeWordRepetition(WordRepetition):
    """Repeated runs of words, of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"

    max: float = Field(0.1, ge=0, le=1)
    """Largest share that is allowed (OBELICS: .1)."""

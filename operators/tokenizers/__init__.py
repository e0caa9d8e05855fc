"""Text to ids. A document's text is never parsed for special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Turns text into ids and back, and gives each special token one id that no text can produce."""

    size: int
    """Ids in all, added ones included: rows that the model's embedding needs."""
    num_added: int
    """Special tokens that the tokenizer's file lacks; their ids follow its own."""
    special_ids: dict[str, int]

    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

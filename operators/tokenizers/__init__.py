"""Text to ids. A document's text is never parsed for special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Turns text into ids and back, and gives each special token one id that no text can produce."""

    library: str
    """The package that does the work: its version is part of what the ids depend on."""
    size: int
    """Ids in all, added ones included: rows that the model's embedding needs."""
    num_added: int
    """Special tokens that the tokenizer's file lacks; their ids follow its own."""
    special_ids: dict[str, int]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text alone; neither start nor end tokens."""
        ...

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of one text, and for each how many characters of `text` it and those before it cover.

        Ends never fall, and the last is the length of the text. A token that holds part of a character's bytes covers
        the character. What the tokenizer drops, such as white space, is covered by the token behind it.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        ...

"""How many words a text and a document may have."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from operators.filters.text_rule import TextRule
from operators.filters.wording import words
from pipeline.errors import Reason


class Words(TextRule):
    """Words of all texts of a document, as `wording.words` counts them."""

    reason: ClassVar[Reason] = Reason.FILTER_WORDS
    level: ClassVar[Literal["node", "document"]] = "document"

    min: int = Field(10, ge=0)
    """Fewest words (OBELICS: 10)."""
    max: int = Field(2000, ge=0)
    """Most words (OBELICS: 2,000)."""

    @model_validator(mode="after")
    def _ordered(self) -> Words:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and max {self.max}; min <= max expected")
        return self

    def complaint(self, text: str) -> str | None:
        count = len(words(text))
        return None if self.min <= count <= self.max else f"{count} words; {self.min} to {self.max} expected"


class NodeWords(Words):
    """Words of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"

    min: int = Field(4, ge=0)
    """Fewest words (OBELICS: 4)."""
    max: int = Field(1000, ge=0)
    """Most words (OBELICS: 1,000)."""

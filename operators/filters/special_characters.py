"""Texts that are hardly text: the share of characters that are no letters."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.text_rule import TextRule
from operators.filters.wording import count_special
from pipeline.errors import Reason


class SpecialCharacters(TextRule):
    """Special characters of all texts of a document: spaces, digits, punctuation and symbols, over all characters.

    OBELICS lists them; here they are all that Unicode calls neither letter nor mark, in any script. A text without
    characters is not judged.
    """

    reason: ClassVar[Reason] = Reason.FILTER_SPECIAL_CHARACTERS
    level: ClassVar[Literal["node", "document"]] = "document"

    max: float = Field(0.275, ge=0, le=1)
    """Largest share that is allowed (OBELICS: .275); a line of English has .2, with its spaces."""

    def complaint(self, text: str) -> str | None:
        share = count_special(text) / max(1, len(text))
        return None if share <= self.max else f"{share:.3f} of the characters are no letters; at most {self.max:g}"


class NodeSpecialCharacters(SpecialCharacters):
    """Special characters of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"

    max: float = Field(0.3, ge=0, le=1)
    """Largest share that is allowed (OBELICS: .3)."""

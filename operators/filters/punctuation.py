"""Documents without punctuation are lists of names and keywords."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.text_rule import TextRule
from operators.filters.wording import count_punctuation, words
from pipeline.errors import Reason


class Punctuation(TextRule):
    """Punctuation marks of a document over its words. A text without words is not judged.

    That the published .03 is counted by words, one mark to 33, is our reading: pages of the GIMP manual have .25 by
    words and .039 by characters, and by characters one page in ten would go.
    """

    reason: ClassVar[Reason] = Reason.FILTER_PUNCTUATION
    level: ClassVar[Literal["node", "document"]] = "document"

    min: float = Field(0.03, ge=0)
    """Fewest marks to a word (OBELICS: .03)."""

    def complaint(self, text: str) -> str | None:
        count = len(words(text))
        share = count_punctuation(text) / max(1, count)
        if not count or share >= self.min:
            return None
        return f"{share:.3f} punctuation marks to a word; at least {self.min:g}"

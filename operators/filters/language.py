"""Which language a document is in, as py3langid tells it: 139 languages, by its bytes, without a network."""

from __future__ import annotations

from functools import cache, lru_cache
from math import floor
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from operators.filters.text_rule import TextRule
from operators.filters.word_lists import LISTS, read_words
from operators.filters.wording import words
from pipeline.errors import Reason

READ_CHARS = 20_000
"""A document's first so many characters tell its language: a page or ten."""


class Language(TextRule):
    """The language of a document's whole text, and how sure that is. A text without words is not judged.

    OBELICS asks fastText and keeps what is at least .8 English; py3langid's numbers are on a scale of its own, on
    which a clear sentence has .9 and three words have less than .5.
    """

    reason: ClassVar[Reason] = Reason.FILTER_LANGUAGE
    level: ClassVar[Literal["node", "document"]] = "document"

    allowed: tuple[str, ...] = Field(("en",), min_length=1)
    """ISO 639 codes of the languages to keep."""
    min: float = Field(0.8, ge=0, le=1)
    """Least probability of the most likely language (OBELICS: .8)."""

    @field_validator("allowed")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_code(code) for code in value)

    def complaint(self, text: str) -> str | None:
        if not words(text):
            return None
        code, thousandths = language_of(text)
        if code in self.allowed and thousandths >= round(self.min * 1000):
            return None
        return f"{code} with {thousandths / 1000:.3f}; {' or '.join(self.allowed)} with at least {self.min:g} expected"


def known_code(code: str) -> str:
    """The code itself. ValueError if it is none of the languages that can be told.

    Their list is a copy of the model's own, which takes half a second to open.
    """
    if code not in read_words(str(LISTS / "languages.txt")):
        raise ValueError(f"{code!r} is no language that can be told; ISO 639 codes are expected, as en, de, zh")
    return code


def language_of(text: str) -> tuple[str, int]:
    """(ISO 639 code, probability in thousandths) of the most likely language of a text."""
    return _language_of(text[:READ_CHARS])


@lru_cache(64)
def _language_of(text: str) -> tuple[str, int]:
    code, probability = _identifier().classify(text)
    return code, floor(probability * 1000 + 0.5)


@cache
def _identifier() -> Any:
    """The identifier that ships with py3langid; half a second to open, and only where a rule asks for a language."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

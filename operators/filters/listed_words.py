"""Rules that count the words of a text that are on a list: one that ships, or a file of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from operators.filters.document import Document, Fault
from operators.filters.language import known_code, language_of
from operators.filters.text_rule import TextRule
from operators.filters.word_lists import LISTS, read_words
from operators.filters.wording import words
from pipeline.errors import Reason


class ListedWords(TextRule):
    """Share of the words of a text that are on a list, in documents of the list's language alone.

    The language is that of the whole document, by `language_of`: one sentence is too short to tell. A text without
    words is not judged.
    """

    ships: ClassVar[str | None]
    """Name of the list that ships; it is English."""

    words: str | None = None
    """Text file of the list to use: words between white space; lines that begin with # are comments. Absent: the one
    that ships."""
    language: str | None = "en"
    """ISO 639 code of the list's language: documents in another are not judged. null: all are."""

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str | None) -> str | None:
        return value if value is None else known_code(value)

    @field_validator("words")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            read_words(value)
        return value

    def files(self) -> tuple[str, ...]:
        return () if self.words is None else (self.words,)

    def faults(self, document: Document) -> Iterator[Fault]:
        if self.language is None or language_of(document.text)[0] == self.language:
            yield from super().faults(document)

    def share(self, text: str) -> float | None:
        """Share of the words of a text that are on the list; None where it has no words."""
        found = words(text)
        if not found:
            return None
        listed = read_words(self.words or str(LISTS / f"{self.ships}.txt"))
        return sum(word in listed for word in found) / len(found)


class _AtLeast(ListedWords):
    """The list holds what every sound text has."""

    min: float = Field(ge=0, le=1)

    def complaint(self, text: str) -> str | None:
        share = self.share(text)
        if share is None or share >= self.min:
            return None
        return f"{share:.3f} of the words are on the list; at least {self.min:g}"


class _AtMost(ListedWords):
    """The list holds what a sound text has little of."""

    max: float = Field(ge=0, le=1)

    def complaint(self, text: str) -> str | None:
        share = self.share(text)
        if share is None or share <= self.max:
            return None
        return f"{share:.3f} of the words are on the list; at most {self.max:g}"


class Stopwords(_AtLeast):
    """Words that hold sentences together: a document without them is a list of keywords."""

    reason: ClassVar[Reason] = Reason.FILTER_STOPWORDS
    level: ClassVar[Literal["node", "document"]] = "document"
    ships: ClassVar[str | None] = "stopwords"

    min: float = Field(0.35, ge=0, le=1)
    """Least share (OBELICS: .35)."""


class NodeStopwords(Stopwords):
    """Words that hold sentences together, of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"

    min: float = Field(0.3, ge=0, le=1)
    """Least share (OBELICS: .3)."""


class FlaggedWords(_AtMost):
    """Words of pages that nobody wants to train on. The list that ships is short; a list of one's own does better."""

    reason: ClassVar[Reason] = Reason.FILTER_FLAGGED_WORDS
    level: ClassVar[Literal["node", "document"]] = "document"
    ships: ClassVar[str | None] = "flagged"

    max: float = Field(0.01, ge=0, le=1)
    """Largest share (OBELICS: .01)."""


class NodeFlaggedWords(FlaggedWords):
    """Words of pages that nobody wants to train on, of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"


class Spam(_AtMost):
    """Words of menus, cookie banners, buttons and offers."""

    reason: ClassVar[Reason] = Reason.FILTER_SPAM
    level: ClassVar[Literal["node", "document"]] = "document"
    ships: ClassVar[str | None] = "spam"

    max: float = Field(0.12, ge=0, le=1)
    """Largest share (OBELICS: .12)."""


class CommonWords(_AtLeast):
    """Words that are common in the language. Their list takes a large corpus: none ships, no preset has the rule."""

    reason: ClassVar[Reason] = Reason.FILTER_COMMON_WORDS
    level: ClassVar[Literal["node", "document"]] = "document"
    ships: ClassVar[str | None] = None

    min: float = Field(0.9, ge=0, le=1)
    """Least share (OBELICS: .9)."""

    @model_validator(mode="after")
    def _given(self) -> CommonWords:
        if self.words is None:
            raise ValueError("words is missing: no list of common words ships; give a text file of your corpus' own")
        return self


class NodeCommonWords(CommonWords):
    """Words that are common in the language, of each text."""

    level: ClassVar[Literal["node", "document"]] = "node"

    min: float = Field(0.8, ge=0, le=1)
    """Least share (OBELICS: .8)."""

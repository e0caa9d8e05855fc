"""Rules that count the words of a text that are on a list: one that ships, or a file of the user's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from operators.filters.document import Document
from operators.filters.language import known_code, language_of
from operators.filters.text_rule import TextRule
from operators.filters.wording import words
from pipeline.errors import Reason

LISTS = Path(__file__).with_name("lists")


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

    def share(self, text: str, document: Document) -> float | None:
        """Share of the words of a text that are on the list; None where it is not to be judged."""
        found = words(text)
        if not found or (self.language is not None and language_of(document.text)[0] != self.language):
            return None
        listed = read_words(self.words or str(LISTS / f"{self.ships}.txt"))
        return sum(word in listed for word in found) / len(found)


class _AtLeast(ListedWords):
    """The list holds what every sound text has."""

    min: float = Field(ge=0, le=1)

    def complaint(self, text: str, document: Document) -> str | None:
        share = self.share(text, document)
        if share is None or share >= self.min:
            return None
        return f"{share:.3f} of the words are on the list; at least {self.min:g}"


class _AtMost(ListedWords):
    """The list holds what a sound text has little of."""

    max: float = Field(ge=0, le=1)

    def complaint(self, text: str, document: Document) -> str | None:
        share = self.share(text, document)
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
    """Words that are common in the language. It takes a list from a large corpus, so none ships, and no preset has it."""

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


@lru_cache(16)
def read_words(path: str) -> frozenset[str]:
    """The words of a list, cut and casefolded as texts are. ValueError in one line if there is no such file or word."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fault = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"no word list at {path}: {fault}; give a text file of words") from error
    found = frozenset(word for line in lines if not line.lstrip().startswith("#") for word in words(line))
    if not found:
        raise ValueError(f"word list {path} is empty; give a text file of words")
    return found

"""CoMM's filter of text sequences: texts should follow from each other, and get somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from operators.filters.document import Document, Fault, Rule
from operators.filters.given_scores import given_scores
from operators.filters.lexical import lexical_score
from pipeline.errors import Reason

LEXICAL = "lexical"


class TextSequence(Rule):
    """Development and coherence of a document's texts.

    CoMM asks a language model, which does not ship. `lexical` is a stand-in that looks at words alone: neighbouring
    texts share some, and each has new ones. It knows nothing of sense or order, and no word of a synonym. A file holds
    what a model of the user's said of each document beforehand.
    """

    reason: ClassVar[Reason] = Reason.FILTER_TEXT_SEQUENCE
    level: ClassVar[Literal["node", "document"]] = "document"

    scorer: str = LEXICAL
    """lexical (0 to 1; fewer than two texts are not judged), or a file of {"key": ..., "score": ...}, .jsonl or
    .parquet, in which a document that has none is rejected."""
    min: float | None = Field(None, allow_inf_nan=False)
    """Least score. For a file it must be given, on the scale of its scores; for lexical it is .05 (ours), under which
    are 4 in 100 pages of the GIMP manual, and 27 in 100 documents of eight texts drawn at random from all of it."""

    @field_validator("scorer")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value != LEXICAL:
            given_scores(value)
        return value

    @model_validator(mode="after")
    def _has_scale(self) -> TextSequence:
        if self.scorer != LEXICAL and self.min is None:
            raise ValueError(f"min is missing: say which scores of {self.scorer} are too low")
        return self

    def files(self) -> tuple[str, ...]:
        return () if self.scorer == LEXICAL else (self.scorer,)

    def faults(self, document: Document) -> Iterator[Fault]:
        least = 0.05 if self.min is None else self.min
        if self.scorer == LEXICAL:
            score = lexical_score([text for _, text in document.judged()])
        else:
            score = given_scores(self.scorer).get(document.key)
            if score is None:
                yield Fault("scorer has no score of it; one of each document is expected")
        if score is not None and score < least:
            yield Fault(f"score {score:g} of its texts; at least {least:g}")

"""Documents that a language model of the user's found unlikely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from operators.filters.document import Document, Fault, Rule
from operators.filters.given_scores import given_scores
from pipeline.errors import Reason


class Perplexity(Rule):
    """Perplexities that were computed beforehand, by key. No language model ships, so no preset has this rule.

    A document that has none is rejected: the file is to judge all of them.
    """

    reason: ClassVar[Reason] = Reason.FILTER_PERPLEXITY
    level: ClassVar[Literal["node", "document"]] = "document"

    scores: str
    """File of {"key": ..., "score": ...}, .jsonl or .parquet."""
    max: float = Field(1500.0, ge=0, allow_inf_nan=False)
    """Largest perplexity that is allowed (OBELICS: 1,500, of its KenLM model of Wikipedia)."""

    @field_validator("scores")
    @classmethod
    def _readable(cls, value: str) -> str:
        given_scores(value)
        return value

    def files(self) -> tuple[str, ...]:
        return (self.scores,)

    def faults(self, document: Document) -> Iterator[Fault]:
        score = given_scores(self.scores).get(document.key)
        if score is None:
            yield Fault("scores has no perplexity of it; one of each document is expected")
        elif score > self.max:
            yield Fault(f"perplexity {score:g}; at most {self.max:g}")

"""How many images a document may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class Images(Rule):
    """Images of a document that the rules of single images have left."""

    reason: ClassVar[Reason] = Reason.FILTER_IMAGES
    level: ClassVar[Literal["node", "document"]] = "document"

    min: int = Field(1, ge=0)
    """Fewest images (OBELICS: 1)."""
    max: int | None = Field(30, ge=0)
    """Most images (OBELICS: 30); null: any number."""

    @model_validator(mode="after")
    def _ordered(self) -> Images:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min} and max {self.max}; min <= max expected")
        return self

    def faults(self, document: Document) -> Iterator[Fault]:
        count = len(document.images)
        if count < self.min:
            yield Fault(f"{count} images; at least {self.min}")
        elif self.max is not None and count > self.max:
            yield Fault(f"{count} images; at most {self.max}")

"""How long the sides of an image may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class Size(Rule):
    """Both sides of each image, in pixels."""

    reason: ClassVar[Reason] = Reason.FILTER_SIZE
    level: ClassVar[Literal["node", "document"]] = "node"

    min: int = Field(150, ge=1)
    """Shortest side that is allowed, in pixels (OBELICS: 150)."""
    max: int = Field(20_000, ge=1)
    """Longest side that is allowed, in pixels (OBELICS: 20,000)."""

    @model_validator(mode="after")
    def _ordered(self) -> Size:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and max {self.max}; min <= max expected")
        return self

    def faults(self, document: Document) -> Iterator[Fault]:
        for image in document.images:
            sides = (image.width, image.height)
            if min(sides) < self.min or max(sides) > self.max:
                yield Fault(f"{image.width}x{image.height}; sides of {self.min} to {self.max} expected", image.number)

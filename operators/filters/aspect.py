"""How long and thin an image may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class Aspect(Rule):
    """The longer side of each image over its shorter one."""

    reason: ClassVar[Reason] = Reason.FILTER_ASPECT
    level: ClassVar[Literal["node", "document"]] = "node"

    max: float = Field(2.0, ge=1, allow_inf_nan=False)
    """Largest quotient that is allowed, lying or standing (OBELICS: 2)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        for image in document.images:
            longer, shorter = max(image.width, image.height), min(image.width, image.height)
            if longer / max(1, shorter) > self.max:
                way = "wide as high" if image.width > image.height else "high as wide"
                yield Fault(f"{longer / max(1, shorter):.3g} times as {way}; at most {self.max:g}", image.number)

"""Which formats an image may be in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class Format(Rule):
    """Images in the formats allowed, by their bytes and not by their names."""

    reason: ClassVar[Reason] = Reason.FILTER_FORMAT
    level: ClassVar[Literal["node", "document"]] = "node"

    allowed: tuple[Literal["jpeg", "png", "webp", "gif", "bmp", "tiff"], ...] = Field(
        ("jpeg", "png", "webp"), min_length=1
    )
    """Formats to keep (OBELICS: these three)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        for image in document.images:
            if image.format not in self.allowed:
                yield Fault(f"{image.format}; {', '.join(self.allowed)} expected", image.number)

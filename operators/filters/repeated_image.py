"""An image stands once in a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class RepeatedImage(Rule):
    """Images whose file stands earlier in the document. OBELICS goes by addresses, this by the bytes."""

    reason: ClassVar[Reason] = Reason.FILTER_REPEATED_IMAGE
    level: ClassVar[Literal["node", "document"]] = "node"

    def faults(self, document: Document) -> Iterator[Fault]:
        first: dict[bytes, int] = {}
        for image in document.images:
            if image.digest in first:
                yield Fault(f"the file of segment {first[image.digest]} again; once expected", image.number)
            first.setdefault(image.digest, image.number)

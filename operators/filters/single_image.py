"""Of documents with one image, a share: they teach next to nothing about several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


class SingleImage(Rule):
    """Documents of exactly one image, of which a share is kept: drawn by a hash of the key, the same in every run.

    MM-Interleaved and OpenFlamingo draw anew in each epoch; a data set is written once.
    """

    reason: ClassVar[Reason] = Reason.FILTER_SINGLE_IMAGE
    level: ClassVar[Literal["node", "document"]] = "document"

    share: float = Field(0.5, ge=0, le=1)
    """Share to keep (MM-Interleaved: .5)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        if len(document.images) != 1:
            return
        drawn = hashlib.sha256(f"single image\0{document.key}".encode("utf-8", "surrogatepass")).digest()
        if int.from_bytes(drawn[:4], "big") >= round(self.share * (1 << 32)):
            yield Fault(f"one image, and not among the {self.share:g} of such documents that are kept")

"""CoMM's gate between images and texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from operators.filters.nearness import fits
from pipeline.errors import Reason


class ImageText(Rule):
    """Images that are less like the text beside them than anything should be: the nearest before or behind.

    Where the data set says how alike they are (MMC4's matched_sim), that counts.
    An image with no text beside it, or none with a word that the encoder knows, is not judged.
    """

    reason: ClassVar[Reason] = Reason.FILTER_IMAGE_TEXT
    level: ClassVar[Literal["node", "document"]] = "node"
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "encoder"

    min: float = Field(0.1, ge=-1, le=1)
    """Least cosine (CoMM: .1, with OpenAI's CLIP; those of SigLIP and of the small encoder are on other scales)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        for image, fit in fits(document):
            if fit is not None and fit < round(self.min * 1000):
                yield Fault(f"cosine {fit / 1000:.3f} with the text beside it; at least {self.min:g}", image.number)

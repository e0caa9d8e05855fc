"""MM-Interleaved's selection: the images of a document that fit their texts best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from operators.filters.nearness import fits
from pipeline.errors import Reason


class Selection(Rule):
    """At most so many images a document, those that fit the text beside them best, each at least so well.

    How well is what the data set says (MMC4's matched_sim) or else the cosine with the nearest text before or behind an
    image, whichever fits better. Those kept stay in reading order; of equals the earlier is kept. MM-Interleaved takes
    six at random in each epoch; a data set is written once.
    """

    reason: ClassVar[Reason] = Reason.FILTER_SELECTION
    level: ClassVar[Literal["node", "document"]] = "node"
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "encoder"

    min: float = Field(0.24, ge=-1, le=1)
    """Least cosine (MM-Interleaved: .24, with OpenAI's CLIP; those of SigLIP and of the small encoder are on other
    scales)."""
    max_images: int = Field(6, ge=1)
    """Most images (MM-Interleaved: 6)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        found = list(fits(document))
        good = [(image.number, fit) for image, fit in found if fit is not None and fit >= round(self.min * 1000)]
        kept = {number for number, _ in sorted(good, key=lambda one: (-one[1], one[0]))[: self.max_images]}
        beyond = {number for number, _ in good} - kept
        for image, fit in found:
            if image.number in kept:
                continue
            if image.number in beyond:
                yield Fault(f"{self.max_images} images fit their texts better; no more are kept", image.number)
            elif fit is None:
                yield Fault("no text beside it with a word that the encoder knows", image.number)
            else:
                yield Fault(f"cosine {fit / 1000:.3f} with the text beside it; at least {self.min:g}", image.number)

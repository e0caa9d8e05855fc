"""CoMM's filter of image sequences: neighbours should be more alike than images far apart."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.filters.document import Document, Fault, Rule
from operators.filters.nearness import embedding_of
from pipeline.errors import Reason

Variant = Literal["non_adjacent", "printed"]
MOST_IMAGES = 1000
"""Images of a document that are compared, each with each."""


def sequence_score(similarities: np.ndarray, variant: Variant = "non_adjacent") -> float | None:
    """CoMM's F: mean similarity of neighbours, less that of pairs that are none; None for fewer than two images.

    similarities: float [n, n], of each image (row) with each before it (column); the rest is not read. With two images
    only the first term is there. non_adjacent: the second sum runs to j = i-2, as its factor 2 / ((n-1)(n-2)), the
    number of such pairs, says; printed: to j = i-1, as the formula is printed, so that n equal images get
    1 - n / (n-2) and not 0.
    """
    count = len(similarities)
    if count < 2:
        return None
    near = float(np.diagonal(similarities, -1).sum()) / (count - 1)
    if count == 2:
        return near
    far = float(np.tril(similarities, -2 if variant == "non_adjacent" else -1).sum())
    return near - 2 * far / ((count - 1) * (count - 2))


class ImageSequence(Rule):
    """`sequence_score` of a document's first MOST_IMAGES images, by their embeddings. Fewer than two are not judged.

    Above 0 in a story or a manual, about 0 for images in no order or that are all the same.
    """

    reason: ClassVar[Reason] = Reason.FILTER_IMAGE_SEQUENCE
    level: ClassVar[Literal["node", "document"]] = "document"
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "encoder"

    min: float = Field(0.001, ge=-3, le=3)
    """Least score (ours: anything above 0; CoMM published no threshold, and .043 as the mean of its documents)."""
    variant: Variant = "non_adjacent"
    """Which form of the formula: non_adjacent, or printed (`sequence_score`)."""

    def faults(self, document: Document) -> Iterator[Fault]:
        rows = [embedding_of(image).astype(np.float64) for image in document.images[:MOST_IMAGES]]
        if len(rows) < 2:
            return
        alike = np.floor(np.stack(rows) @ np.stack(rows).T * 1000 + 0.5) / 1000
        score = sequence_score(alike, self.variant)
        if score is not None and floor(score * 1000 + 0.5) < round(self.min * 1000):
            yield Fault(f"score {score:.3f} of {len(rows)} images; at least {self.min:g}")

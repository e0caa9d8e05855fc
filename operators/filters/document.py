"""What a filter sees of a document, and what it may say of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline.errors import Reason

JUDGED_CHARS = 1 << 20
"""Of a document's texts: no rule then takes over 64 MB and four seconds, however long a hostile text is, and a book
without its last chapters is the same book."""


@dataclass(frozen=True, slots=True)
class Node:
    """One text or one image of a document; of a text, what follows `role` is empty."""

    number: int
    """Its place in the document as it was read."""
    text: str | None
    """None: an image."""
    role: str | None = None
    """Who says it in a conversation (system, user, assistant)."""
    width: int = 0
    height: int = 0
    format: str = ""
    """jpeg, png, webp, gif, bmp or tiff."""
    digest: bytes = b""
    """Of the encoded bytes: equal for equal files alone."""
    num_bytes: int = 0
    grey: np.ndarray | None = None
    """Luminance of the small copy, uint8 [height, width]; None where no rule of the job asks for pixels."""
    colour: np.ndarray | None = None
    """A smaller RGB copy, uint8 [height, width, 3]."""
    embedding: np.ndarray | None = None
    """Of length 1, float32 [d]; texts have one too. Zeros for a text of no word that the encoder knows. None where no
    rule of the job asks for an encoder."""
    similarity: float | None = None
    """How well the image fits its text, as a cosine, where its data set says so (MMC4's matched_sim)."""

    @property
    def is_image(self) -> bool:
        return self.text is None


@dataclass(frozen=True, slots=True)
class Document:
    """The nodes of a document that are left, in reading order."""

    key: str
    nodes: tuple[Node, ...]

    @property
    def images(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.is_image)

    @property
    def texts(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if not node.is_image)

    @property
    def text(self) -> str:
        """All texts, a blank line between them, up to JUDGED_CHARS in all: what rules of a whole text judge."""
        return "\n\n".join(text for _, text in self.judged())

    def judged(self) -> Iterator[tuple[Node, str]]:
        """Each text, with what rules of text judge of it: nothing behind the document's first JUDGED_CHARS."""
        left = JUDGED_CHARS
        for node in self.texts:
            if left > 0 and node.text is not None:
                yield node, node.text[:left]
                left -= len(node.text)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a node, or the whole document, is not to be packed."""

    detail: str
    """What was found and what is allowed, in a line: `3.1 times as wide as high; at most 2`."""
    node: int | None = None
    """`Node.number` of the guilty node. Of a node rule it is what is dropped; None: the document."""


class Rule(BaseModel):
    """One rule of a job's `filters`: its thresholds are its fields, its verdict a pure function of one document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: ClassVar[Reason]
    """What its rejects are counted by."""
    level: ClassVar[Literal["node", "document"]]
    """node: drops single texts and images; document: judges what node rules have left, and rejects it whole."""
    needs: ClassVar[Literal["text", "pixels", "encoder"]] = "text"
    """What must be there beside texts, sizes and digests: small copies of pictures, or those and embeddings."""

    @abstractmethod
    def faults(self, document: Document) -> Iterator[Fault]:
        """At most one Fault a node of a node rule; at most one, which may name a node, of a document rule."""

    def files(self) -> tuple[str, ...]:
        """Paths of the files of the user's that decide its verdicts: a recipe needs their content."""
        return ()

"""How alike images and texts are by their embeddings, in thousandths: what lies below that differs between machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor

import numpy as np

from operators.filters.document import Document, Node


def thousandths(one: np.ndarray, other: np.ndarray) -> int:
    """Dot product of two rows of length 1, rounded, half up."""
    return floor(float(np.dot(one.astype(np.float64), other.astype(np.float64))) * 1000 + 0.5)


def embedding_of(node: Node) -> np.ndarray:
    """The node's embedding. ValueError: there is none, though a rule of the job needs an encoder."""
    if node.embedding is None:
        raise ValueError(f"segment {node.number} has no embedding; a rule that needs the encoder was given none")
    return node.embedding


def fits(document: Document) -> Iterator[tuple[Node, int | None]]:
    """Each image, and how well it fits its text, in thousandths.

    As its data set says, if it does; otherwise by their embeddings, with the nearest text before it or the nearest
    behind it, whichever fits better. None where there is neither, or none with a word that the encoder knows. Blank
    texts are none.
    """
    before = _nearest(document.nodes)
    behind = _nearest(document.nodes[::-1])[::-1]
    for node, *around in zip(document.nodes, before, behind, strict=True):
        if node.is_image and node.similarity is not None:
            yield node, floor(node.similarity * 1000 + 0.5)
        elif node.is_image:
            known = [text for text in around if text is not None and text.any()]
            yield node, max((thousandths(embedding_of(node), text) for text in known), default=None)


def _nearest(nodes: Sequence[Node]) -> list[np.ndarray | None]:
    """For each node, the embedding of the last text that is not blank, it or one before it."""
    found: list[np.ndarray | None] = []
    last = None
    for node in nodes:
        if node.text is not None and node.text.strip():
            last = embedding_of(node)
        found.append(last)
    return found

"""The same document in a wrong order: what a model that learns by preference is to like less (CoMM's four shuffles).

What stands before the first step stays there. No text and no image is lost, and none is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

from operators.deriving.document import Document


def shuffle_texts(document: Document) -> list[int] | None:
    """Texts change places among themselves, images stay. None if all are equal."""
    return _moved(document, "shuffle-texts", texts=document.texts)


def shuffle_images(document: Document) -> list[int] | None:
    """Images change places among themselves, texts stay. None if all are equal."""
    return _moved(document, "shuffle-images", images=document.images)


def shuffle_both(document: Document) -> list[int] | None:
    """Texts among themselves and, whatever they do, images too. None if all texts, or all images, are equal."""
    return _moved(document, "shuffle-both", texts=document.texts, images=document.images)


def shuffle_steps(document: Document) -> list[int] | None:
    """Steps change places, each as it is. None if all are equal."""
    contents = [[document.contents[i] for i in step] for step in document.steps]
    order = shuffled(contents, f"shuffle-steps steps {document.name}")
    return None if order is None else [*document.head, *(i for k in order for i in document.steps[k])]


def _moved(document: Document, view: str, **groups: Sequence[int]) -> list[int] | None:
    """For each place the segment that comes there, if those of each group change places among themselves."""
    moved = list(range(len(document.contents)))
    for what, places in groups.items():
        order = shuffled([[document.contents[i]] for i in places], f"{view} {what} {document.name}")
        if order is None:
            return None
        for place, i in zip(places, order, strict=True):
            moved[place] = places[i]
    return moved


def shuffled(contents: Sequence[Sequence[Hashable]], draw: str) -> list[int] | None:
    """An order of items that reads otherwise than theirs; None for items that are all equal. contents: of each item.

    They are sorted by a hash of `draw` and their number, so the order is the same wherever and whenever it is made. A
    seeded generator would do no longer than until its library is another: NumPy keeps no stream for ever. Where that
    order reads as theirs does, the first item comes last.
    """
    places = range(len(contents))
    drawn = sorted(places, key=lambda i: hashlib.blake2b(f"{draw} {i}".encode(), digest_size=16).digest())
    given = _read(contents, places)
    return next((order for order in (drawn, [*places[1:], *places[:1]]) if _read(contents, order) != given), None)


def _read(contents: Sequence[Sequence[Hashable]], order: Sequence[int]) -> list[Hashable]:
    return [content for i in order for content in contents[i]]

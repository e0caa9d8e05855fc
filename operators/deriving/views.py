"""The views of a document that a job may `derive`: further samples, each by its name and its number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from operators.deriving.document import Document, Said
from operators.deriving.negatives import shuffle_both, shuffle_images, shuffle_steps, shuffle_texts
from operators.deriving.tasks import (
    INSTRUCTIONS,
    continue_,
    images_to_texts,
    question_to_document,
    texts_to_images,
)

ViewName = Literal[
    "shuffle-texts",
    "shuffle-images",
    "shuffle-both",
    "shuffle-steps",
    "images-to-texts",
    "texts-to-images",
    "continue",
    "question-to-document",
]
"""A new view comes last: its number is a part of the ids of samples (pipeline.derived)."""
NUMBERS = {name: number for number, name in enumerate(get_args(ViewName), 1)}
NEGATIVES: dict[str, Callable[[Document], list[int] | None]] = {
    "shuffle-texts": shuffle_texts,
    "shuffle-images": shuffle_images,
    "shuffle-both": shuffle_both,
    "shuffle-steps": shuffle_steps,
}
TASKS: dict[str, Callable[[Document], list[Said]]] = {
    "images-to-texts": images_to_texts,
    "texts-to-images": texts_to_images,
    "continue": continue_,
    "question-to-document": question_to_document,
}
"""Conversations: their family must have a chat template."""


def view_of_document(name: ViewName, document: Document) -> list[Said] | None:
    """What the view makes of a document; None where it makes no sense of it."""
    if not document.has_views:
        return None
    if name in TASKS:
        return TASKS[name](document)
    order = NEGATIVES[name](document)
    return None if order is None else [Said(i) for i in order]


def instructions(names: tuple[ViewName, ...]) -> dict[str, str]:
    """The texts of ours that open the conversations of these views, by name."""
    return {name: INSTRUCTIONS[name] for name in names if name in INSTRUCTIONS}

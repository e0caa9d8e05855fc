"""A document as a question and its answer (CoMM's four tasks): a user gives one side, the assistant the other.

Every text and image of the document is said once. What stands before the first step is always given.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.deriving.document import Document, Part, Said

INSTRUCTIONS = {
    "images-to-texts": "Write the text that goes with these images, step by step.\n",
    "texts-to-images": "Show the images that go with this text, step by step.\n",
    "continue": "Continue this document.\n",
    "question-to-document": "Write a document with images on this.\n",
}
"""What the user says first, by the view's name."""
LINE_BREAK = "\n"


def images_to_texts(document: Document) -> list[Said]:
    """Images are given, the texts of the steps asked for."""
    return _asked("images-to-texts", document, [*document.head, *document.images], _numbered(document))


def texts_to_images(document: Document) -> list[Said]:
    """Texts are given, the images asked for.

    Families whose images are no tokens of their vocabulary train only the end of such an answer: no label is ever on
    an image.
    """
    return _asked("texts-to-images", document, [*document.head, *_numbered(document)], document.images)


def continue_(document: Document) -> list[Said]:
    """The first half of the steps is given, one more of an odd number, and the others are asked for."""
    half = (len(document.steps) + 1) // 2
    first, others = ([i for step in steps for i in step] for steps in (document.steps[:half], document.steps[half:]))
    return _asked("continue", document, [*document.head, *first], others)


def question_to_document(document: Document) -> list[Said]:
    """What stands before the first step is given or, where no text does, the first text; all else is asked for."""
    head = document.head
    given = head if any(not document.is_image(i) for i in head) else document.texts[:1]
    rest = sorted({*range(len(document.contents))}.difference(given))
    return _asked("question-to-document", document, given, rest)


def _numbered(document: Document) -> list[Part]:
    """The texts of the steps that have any, as CoMM writes them: (1) … (2) …"""
    texts = [[i for i in step if not document.is_image(i)] for step in document.steps]
    parts: list[Part] = []
    for number, step in enumerate(filter(None, texts), 1):
        parts += [f"({number}) ", *step]
    return parts


def _asked(view: str, document: Document, given: Sequence[Part], answer: Sequence[Part]) -> list[Said]:
    question = [INSTRUCTIONS[view], *given]
    return [
        *(Said(part, "user") for part in _turn(document, question)),
        *(Said(part, "assistant") for part in _turn(document, answer)),
    ]


def _turn(document: Document, parts: Sequence[Part]) -> list[Part]:
    """A turn as templates take one: a text first and last, and a line break between two texts of the document."""

    def is_image(part: Part) -> bool:
        return isinstance(part, int) and document.is_image(part)

    said: list[Part] = [""] if is_image(parts[0]) else []
    for part in parts:
        is_behind_text = bool(said) and isinstance(said[-1], int) and not is_image(said[-1])
        said += [LINE_BREAK, part] if is_behind_text and not is_image(part) else [part]
    return [*said, ""] if is_image(said[-1]) else said

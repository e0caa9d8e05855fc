"""Says what each image of a document is asked: the users' words, or the text beside it; never an answer's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.operator import Row
from pipeline.types import SegmentKind

NEAR_CHARS = 400
"""Longest piece of text on one side of a document's image, about the 64 tokens that SigLIP reads."""
BORDER_CHARS = 40
"""Where in its outer end a piece is cut between words; languages without spaces are cut anywhere."""

SEEKING = re.compile(r"\b(count|where)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Query:
    """What one image is asked: the text, where it is from, and the numbers of the segments that it was taken from.

    origin: `user` (said in a conversation), `neighbours` (text beside it in a document), or `none`, with no text.
    """

    text: str
    origin: str
    segments: tuple[int, ...]


NOTHING = Query("", "none", ())


def queries(segments: Sequence[Row]) -> list[Query]:
    """The query of each image segment of a document, in order.

    segments: rows of SEGMENT, in the document's own order. In a conversation: all that users say from the beginning
    to the first answer behind the image; words of the assistant and the system count for nothing. In a document: the
    nearest text with words on either side, of each the NEAR_CHARS characters nearest to the image. Pieces are joined
    by line breaks.
    """
    is_chat = any(segment["role"] is not None for segment in segments)
    ask = _said_to if is_chat else _beside
    return [ask(segments, i) for i, segment in enumerate(segments) if segment["kind"] == SegmentKind.IMAGE]


def is_seeking(text: str) -> bool:
    """Whether a query counts or locates: has the word count or where, which ARR-COC's query budget looks for."""
    return SEEKING.search(text) is not None


def _said_to(segments: Sequence[Row], image: int) -> Query:
    behind = (i for i in range(image + 1, len(segments)) if segments[i]["role"] == "assistant")
    end = next(behind, len(segments))
    used = [i for i in range(end) if segments[i]["role"] == "user" and _has_words(segments[i])]
    return _joined("user", [(i, segments[i]["text"].strip()) for i in used])


def _beside(segments: Sequence[Row], image: int) -> Query:
    before = next((i for i in range(image - 1, -1, -1) if _has_words(segments[i])), None)
    behind = next((i for i in range(image + 1, len(segments)) if _has_words(segments[i])), None)
    pieces = []
    if before is not None:
        pieces.append((before, _tail(segments[before]["text"].strip())))
    if behind is not None:
        pieces.append((behind, _head(segments[behind]["text"].strip())))
    return _joined("neighbours", pieces)


def _joined(origin: str, pieces: Sequence[tuple[int, str]]) -> Query:
    if not pieces:
        return NOTHING
    return Query("\n".join(text for _, text in pieces), origin, tuple(i for i, _ in pieces))


def _has_words(segment: Row) -> bool:
    return bool(segment["kind"] == SegmentKind.TEXT and segment["text"].strip())


def _head(text: str) -> str:
    """The first NEAR_CHARS characters, less the word that they would cut."""
    if len(text) <= NEAR_CHARS:
        return text
    inner = text[: NEAR_CHARS - BORDER_CHARS]
    outer = re.match(r".*(?=\s)", text[len(inner) : NEAR_CHARS + 1], re.DOTALL)
    return (inner + outer[0]).rstrip() if outer else text[:NEAR_CHARS]


def _tail(text: str) -> str:
    """The last NEAR_CHARS characters, less the word that they would cut."""
    return _head(text[::-1])[::-1]

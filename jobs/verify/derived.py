"""Samples that were made of others: which a job asks of a document, and what they hold, by the output contract alone.

Bits 40 and up of an ordinal are the number of the view that made a sample, counted from 1; the others are those of the
sample that was read. Its key has the view's name behind a tilde.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.types import Segment, SegmentKind

READ_ORDINALS = 1 << 40
VIEWS = (
    *("shuffle-texts", "shuffle-images", "shuffle-both", "shuffle-steps"),
    *("images-to-texts", "texts-to-images", "continue", "question-to-document"),
)
"""In the order of their numbers."""
Segments = list[Segment]


def original_of(ordinal: int) -> int:
    """The ordinal of the sample that was read: of a derived one its original's, of another its own."""
    return ordinal % READ_ORDINALS


def is_derived(ordinal: int) -> bool:
    return ordinal >= READ_ORDINALS


def derived_samples(
    where: tuple[str, int], key: str, segments: Sequence[Segment], names: Sequence[str], instructions: Mapping[str, str]
) -> Iterator[tuple[int, str, Segments]]:
    """Ordinal, key and segments of each sample that must be made of the document of these segments.

    where: its shard and ordinal; names: of the views that the job asks for; instructions: what opens the conversations.
    """
    shard, ordinal = where
    head, steps = _steps(segments)
    kinds = {segment.kind for step in steps for segment in step}
    if len(steps) < 2 or len(kinds) < 2 or any(segment.role is not None for segment in segments):
        return
    for number, name in enumerate(VIEWS, 1):
        if name in names:
            is_task = name in instructions
            made = (
                _talk(name, instructions[name], segments, head, steps)
                if is_task
                else _disordered(name, f"{shard}/{key}", segments, head, steps)
            )
            if made:
                yield number * READ_ORDINALS + ordinal, f"{key}~{name}", made


def _steps(segments: Sequence[Segment]) -> tuple[Segments, list[Segments]]:
    """What stands before the first step, and the steps: as the turns number them or, where all are 0, in pairs."""
    is_numbered = any(segment.turn for segment in segments)
    head = [segment for segment in segments if is_numbered and segment.turn == 0]
    steps: list[Segments] = []
    before: Segment | None = None
    for segment in segments:
        if is_numbered and segment.turn == 0:
            continue
        begins = before is None or (
            segment.turn != before.turn
            if is_numbered
            else segment.kind == segments[0].kind and before.kind != segment.kind
        )
        steps += [[]] if begins else []
        steps[-1].append(segment)
        before = segment
    return head, steps


def _disordered(
    name: str, document: str, segments: Sequence[Segment], head: Segments, steps: list[Segments]
) -> Segments:
    """The document in another order; nothing if it has no other."""
    if name == "shuffle-steps":
        return [*head, *drawn] if (drawn := _drawn(steps, f"{name} steps {document}")) else []
    groups = {"texts": SegmentKind.TEXT, "images": SegmentKind.IMAGE}
    instead: dict[int, Segment] = {}
    for what in groups if name == "shuffle-both" else (name.removeprefix("shuffle-"),):
        own = [segment for step in steps for segment in step if segment.kind == groups[what]]
        drawn = _drawn([[segment] for segment in own], f"{name} {what} {document}")
        if not drawn:
            return []
        instead |= {id(segment): other for segment, other in zip(own, drawn, strict=True)}
    return [instead.get(id(segment), segment) for segment in segments]


def _content(segment: Segment) -> Any:
    return segment.text if segment.kind == SegmentKind.TEXT else hashlib.sha256(segment.data or b"").digest()


def _drawn(items: Sequence[Segments], draw: str) -> Segments:
    """The items by the hashes of their numbers or, where that changes nothing to see, the first of them last.

    Nothing where that is not to be seen either.
    """
    ranks = [hashlib.blake2b(f"{draw} {number}".encode(), digest_size=16).hexdigest() for number in range(len(items))]
    ranked = [item for _, item in sorted(zip(ranks, items, strict=True), key=lambda pair: pair[0])]
    given = [_content(segment) for item in items for segment in item]
    for order in (ranked, [*items[1:], *items[:1]]):
        flat = [segment for item in order for segment in item]
        if [_content(segment) for segment in flat] != given:
            return flat
    return []


def _talk(name: str, instruction: str, segments: Sequence[Segment], head: Segments, steps: list[Segments]) -> Segments:
    """A user's turn, and the assistant's."""
    flat = [segment for step in steps for segment in step]
    images = [segment for segment in flat if segment.kind == SegmentKind.IMAGE]
    half = sum(map(len, steps[: len(steps) - len(steps) // 2]))
    if name == "images-to-texts":
        given, answer = [*head, *images], _numbered(steps)
    elif name == "texts-to-images":
        given, answer = [*head, *_numbered(steps)], images
    elif name == "continue":
        given, answer = [*head, *flat[:half]], flat[half:]
    else:
        asks = any(segment.kind == SegmentKind.TEXT for segment in head)
        given = head if asks else [next(segment for segment in flat if segment.kind == SegmentKind.TEXT)]
        answer = [segment for segment in segments if not any(segment is one for one in given)]
    return [*_turn([_ours(instruction), *given], "user", 0), *_turn(answer, "assistant", 1)]


def _numbered(steps: Sequence[Segments]) -> Segments:
    """(1), and the texts of the first step that has any; (2), and those of the second; and so on."""
    found: Segments = []
    number = 0
    for step in steps:
        texts = [segment for segment in step if segment.kind == SegmentKind.TEXT]
        number += bool(texts)
        found += [_ours(f"({number}) "), *texts] if texts else []
    return found


def _turn(said: Sequence[Segment], role: str, turn: int) -> Segments:
    """Texts first and last, and between a text of the document and another text a line break."""
    whole: Segments = []
    for segment in said:
        follows = whole[-1] if whole else None
        if segment.kind == SegmentKind.IMAGE:
            whole += [] if follows else [_ours("")]
        elif follows is not None and follows.kind == SegmentKind.TEXT and follows.member:
            whole.append(_ours("\n"))
        whole.append(segment)
    whole += [_ours("")] if whole[-1].kind == SegmentKind.IMAGE else []
    return [replace(segment, role=role, turn=turn) for segment in whole]


def _ours(text: str) -> Segment:
    """A text that no shard holds."""
    return Segment(SegmentKind.TEXT, "", 0, 0, text=text)

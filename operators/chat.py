"""Conversations as a model family writes them: marks and text around each turn, and which tokens are trained."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal

from pydantic import BaseModel, ConfigDict

from operators.tokenizers import Tokenizer
from pipeline.errors import InputError, Reason
from pipeline.operator import Row
from pipeline.types import SegmentKind

WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Unicode's white space, which special tokens swallow; str.lstrip() alone takes four control characters more."""


class Turn(BaseModel):
    """What stands around a turn of one role. Special tokens of the profile are atomic in it, all else is text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = ""
    before_image: str | None = None
    """Stands there instead where the turn begins with an image; None: the same."""
    end: str = ""
    """Follows the turn; trained where the turn is."""
    after: str = ""
    """Follows that; never trained."""
    cut: str = ""
    """Characters that the family takes off the end of the turn."""
    trim: bool = False
    """Whether it takes white space off both ends."""


class ChatTemplate(BaseModel):
    """One family's template. Only assistant turns are trained, each with its `end`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: str = ""
    """Before everything, once."""
    default_system: str | None = None
    """Said where a conversation has no system turn."""
    system_in: Literal["turn", "last_user"] = "turn"
    """Where the system turn is said: by itself, or in the last user turn before what the user says."""
    swallowing: tuple[str, ...] = ()
    """Special tokens that swallow the white space behind them, the speaker's too (`rstrip` in tokenizer files)."""
    system: Turn
    user: Turn
    assistant: Turn

    def around(self, role: str) -> Turn:
        return {"system": self.system, "user": self.user, "assistant": self.assistant}[role]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text of a segment, or a special token, or, with neither, an image: it parts texts as a special token does."""

    segment: int
    text: str = ""
    special: str | None = None
    is_trained: bool = False


@dataclass(slots=True)
class _Said:
    """One turn: the (segment, text) of each part, None for an image. `lead` comes between `before` and the turn."""

    role: str
    around: Turn
    parts: list[tuple[int, str | None]]
    lead: Sequence[_Piece] = ()

    @property
    def before(self) -> str:
        is_image_first = len(self.parts) > 1 and not self.parts[0][1]
        other = self.around.before_image
        return self.around.before if other is None or not is_image_first else other


def render_conversation(
    segments: Sequence[Row], template: ChatTemplate, tokenizer: Tokenizer
) -> tuple[list[list[int]], list[list[bool]]]:
    """Ids per segment, and whether each is trained: two lists as long as `segments`, empty for images.

    segments: at least one, as `read` gives them: those of a turn stand together, a text first and last. What
    the family encodes in one go is encoded in one go: all text between two special tokens or images, the template's
    and the speakers', is one text. A token of it belongs to the segment of its last character, and is trained if any
    of its characters is. Special tokens are searched in the template alone, never in what somebody says. Raises
    InputError (field-invalid) if a system turn that must be said in a user turn finds none or holds an image.
    """
    ids: list[list[int]] = [[] for _ in segments]
    trained: list[list[bool]] = [[] for _ in segments]
    literals = sorted(tokenizer.special_ids, key=len, reverse=True)
    special = re.compile(f"({'|'.join(map(re.escape, literals))})")
    joint: list[_Piece] = []
    opening: str | None = None
    for piece in [*_write(segments[0], _turns(segments, template), template, special), None]:
        if piece is not None and piece.text:
            joint.append(piece)
            continue
        _encode(joint, tokenizer, ids, trained, is_swallowed=opening in template.swallowing)
        joint.clear()
        opening = None if piece is None else piece.special
        if piece is not None and piece.special is not None:
            ids[piece.segment].append(tokenizer.special_ids[piece.special])
            trained[piece.segment].append(piece.is_trained)
    return ids, trained


def _turns(segments: Sequence[Row], template: ChatTemplate) -> list[_Said]:
    """The turns in order, what the family cuts off cut off, and the system's words where nobody spoke them."""
    turns: list[_Said] = []
    for _, group in groupby(enumerate(segments), key=lambda pair: pair[1]["turn"]):
        found = list(group)
        role: str = found[0][1]["role"]
        around = template.around(role)
        parts = [(i, None if row["kind"] == SegmentKind.IMAGE else str(row["text"])) for i, row in found]
        last, words = parts[-1]
        parts[-1] = (last, words.rstrip(around.cut) if words and around.cut else words)
        if around.trim:
            parts[0] = (parts[0][0], (parts[0][1] or "").lstrip())
            parts[-1] = (parts[-1][0], (parts[-1][1] or "").rstrip())
        turns.append(_Said(role, around, parts))
    if turns[0].role != "system" and template.default_system is not None:
        turns.insert(0, _Said("system", template.system, [(turns[0].parts[0][0], template.default_system)]))
    return turns


def _write(opening: Row, turns: list[_Said], template: ChatTemplate, special: re.Pattern[str]) -> Iterator[_Piece]:
    """The conversation piece by piece, in the order of the ids; opening: its first segment."""

    def mark(text: str, segment: int, *, is_trained: bool = False) -> Iterator[_Piece]:
        for number, part in enumerate(special.split(text)):
            if number % 2:
                yield _Piece(segment, special=part, is_trained=is_trained)
            elif part:
                yield _Piece(segment, part, is_trained=is_trained)

    if turns[0].role == "system" and template.system_in == "last_user":
        system = turns.pop(0)
        carrier = next((turn for turn in reversed(turns) if turn.role == "user"), None)
        if carrier is None or len(system.parts) > 1:
            detail = "a system turn is said inside the last user turn: it needs one, and can have no image"
            where = {name: opening[name] for name in ("member", "offset", "size")}
            raise InputError(Reason.FIELD_INVALID, detail, segment=0, **where)
        first, text = carrier.parts[0][0], system.parts[0][1]
        if text:
            closing = system.around.end + system.around.after
            carrier.lead = [*mark(system.around.before, first), _Piece(first, text), *mark(closing, first)]
    yield from mark(template.start, turns[0].parts[0][0])
    for number, turn in enumerate(turns):
        first, last = turn.parts[0][0], turn.parts[-1][0]
        is_trained = turn.role == "assistant"
        yield from mark(turn.before, first)
        yield from turn.lead
        for segment, words in turn.parts:
            if words != "":
                yield _Piece(segment, words or "", is_trained=is_trained)
        yield from mark(turn.around.end, last, is_trained=is_trained)
        after = turn.around.after
        following = turns[number + 1] if number + 1 < len(turns) else None
        if following is not None and not special.search(after) and not special.match(following.before):
            last = following.parts[0][0]  # one text with what opens that turn
        yield from mark(after, last)


def _encode(
    joint: Sequence[_Piece],
    tokenizer: Tokenizer,
    ids: list[list[int]],
    trained: list[list[bool]],
    *,
    is_swallowed: bool,
) -> None:
    """Adds the tokens of one text to the segments that its pieces are of."""
    text = "".join(piece.text for piece in joint)
    num_swallowed = len(text) - len(text.lstrip(WHITE)) if is_swallowed else 0
    if num_swallowed == len(text):
        return
    bounds = list(accumulate(len(piece.text) for piece in joint))
    start = num_swallowed
    for token, covered in zip(*tokenizer.encode_with_ends(text[num_swallowed:]), strict=True):
        end = num_swallowed + covered
        # A token of a part of a character, or of a dummy space before the text, ends where the one before it did.
        last = max(end - 1, num_swallowed)
        one, other = (bisect_right(bounds, place) for place in (min(start, last), last))
        ids[joint[other].segment].append(token)
        trained[joint[other].segment].append(any(piece.is_trained for piece in joint[one : other + 1]))
        start = end

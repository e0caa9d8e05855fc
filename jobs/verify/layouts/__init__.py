"""How each format lays out a sample, written apart from the readers of the build: what counts, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.verify.layouts.captioned import read_frames, read_pair, read_plain
from jobs.verify.layouts.comm import read_comm
from jobs.verify.layouts.mmc4 import read_mmc4
from jobs.verify.layouts.names import IMAGES, first_dot, last_dot, numbered
from jobs.verify.layouts.pages import read_pages, read_similar
from jobs.verify.layouts.parts import Items, Said
from jobs.verify.layouts.talk import read_conversation

JSON = frozenset({"json"})
WORDS = frozenset({"txt", "json"})


@dataclass(frozen=True, slots=True)
class Layout:
    """split: key and field of a name. texts: fields beside pictures that are content. most of read: segments.

    spare: of texts, what may be too large, or stand under another key, without harm. is_album: pictures in the JSON.
    """

    split: Callable[[str], tuple[str, str] | None]
    texts: frozenset[str]
    read: Callable[[str, Items, int], Said]
    spare: frozenset[str] = frozenset()
    is_album: bool = False

    def counts(self, field: str) -> bool:
        """Whether a member of this field is content."""
        return field in self.texts or field.rpartition(".")[2] in IMAGES


LAYOUTS = {
    "interleaved": Layout(numbered, JSON, read_pages),
    "conversations": Layout(numbered, JSON, read_conversation),
    "mmc4": Layout(first_dot, JSON, read_mmc4, is_album=True),
    "comm": Layout(first_dot, JSON, read_comm),
    "energon": Layout(first_dot, JSON, read_similar),
    "frames": Layout(numbered, WORDS, read_frames, spare=JSON),
    "pairs": Layout(last_dot, WORDS, read_pair, spare=JSON),
    "text": Layout(last_dot, WORDS, read_plain, spare=JSON),
}

"""The formats of samples, by the name that a job gives: one small file each."""

from __future__ import annotations

from pipeline.formats.comm import Comm
from pipeline.formats.conversations import Conversations
from pipeline.formats.energon import Energon
from pipeline.formats.fields import Format
from pipeline.formats.frames import Frames
from pipeline.formats.interleaved import Interleaved
from pipeline.formats.mmc4 import Mmc4
from pipeline.formats.pairs import Pairs
from pipeline.formats.text import Text

__all__ = ["FORMATS", "Format"]

IN_ORDER: tuple[Format, ...] = (
    Interleaved(),
    Conversations(),
    Mmc4(),
    Comm(),
    Energon(),
    Frames(),
    Pairs(),
    Text(),
)
"""Where two of them read the same samples, as Energon's reads interleaved ones, the first is what they are called."""
FORMATS: dict[str, Format] = {made.name: made for made in IN_ORDER}

"""The formats of samples, by the name that a job gives: one small file each."""

from __future__ import annotations

from pipeline.formats.conversations import Conversations
from pipeline.formats.fields import Format
from pipeline.formats.interleaved import Interleaved
from pipeline.formats.pairs import Pairs

__all__ = ["FORMATS", "Format"]

FORMATS: dict[str, Format] = {made.name: made for made in (Pairs(), Interleaved(), Conversations())}

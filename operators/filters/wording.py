"""Words and characters of a text as the text rules count them, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Myanmar, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts that put no space between words: each of their letters, with its marks, counts as a word."""
MARKS = "".join(
    chr(code)
    for first, last in ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF))
    for code in range(first, last + 1)
    if unicodedata.category(chr(code)).startswith("M")
)
PIECE = re.compile(f"[{UNSPACED}][{MARKS}]*|[^\\s{UNSPACED}]+")
REMEMBERED_CHARS = 1 << 15
"""Longer texts are cut into words again for every rule: 64 of these take 34 MB, 64 of the longest text 4 GB."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text, casefolded: what stands between white space, without special characters at its ends.

    So `don't` and `well-known` are one word each, and a number is none, as OBELICS counts. In scripts without spaces
    every letter is a word: ours, since their words cannot be told without a dictionary.
    """
    return _remembered(text) if len(text) <= REMEMBERED_CHARS else _words(text)


def count_special(text: str) -> int:
    """Characters that are neither letters nor marks of a script: spaces, digits, punctuation and symbols."""
    return sum(count for character, count in Counter(text).items() if _is_special(character))


def count_punctuation(text: str) -> int:
    """Characters of Unicode's categories of punctuation."""
    found = Counter(text).items()
    return sum(count for character, count in found if unicodedata.category(character).startswith("P"))


def _words(text: str) -> tuple[str, ...]:
    pieces = PIECE.findall(unicodedata.normalize("NFC", text).casefold().replace("\u2019", "'"))
    return tuple(word for piece in pieces if (word := _stripped(piece)))


@lru_cache(64)
def _remembered(text: str) -> tuple[str, ...]:
    return _words(text)


def _stripped(piece: str) -> str:
    first, last = 0, len(piece)
    while first < last and _is_special(piece[first]):
        first += 1
    while first < last and _is_special(piece[last - 1]):
        last -= 1
    return piece[first:last]


@lru_cache(1 << 12)
def _is_special(character: str) -> bool:
    return unicodedata.category(character)[0] not in "LM"

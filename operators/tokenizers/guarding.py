"""What every kind of tokenizer does alike: ids for special tokens, and ends that cover a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate


def give_ids(special: Iterable[str], trusted: Mapping[str, int], base: int) -> dict[str, int]:
    """One id per special token: the file's own where text cannot become it, else one behind the vocabulary, in order.

    trusted: ids, all under `base`, of special tokens that no text can become. base: the first id that is free.
    """
    ids: dict[str, int] = {}
    added = base
    for literal in dict.fromkeys(special):
        if literal in trusted:
            ids[literal] = trusted[literal]
        else:
            ids[literal] = added
            added += 1
    return ids


def cover(ends: Iterable[int], length: int) -> list[int]:
    """The ends made to never fall, and the last to be `length`: what the last token leaves over was dropped."""
    covering = list(accumulate(ends, max))
    return [*covering[:-1], length] if covering else []

"""Samples that are made of others while a data set is built, and how they are told from those: by their ordinal.

A derived sample has the shard of its original. Its ordinal is the original's with the number of the view, from 1 on,
in the bits above it: so it is unique, says what it was made of, and sorts behind every sample that was read.
"""

from __future__ import annotations

VIEW_SHIFT = 40
"""A shard has fewer samples than 2^40, as a tar of them would have 512 TiB."""


def derived_ordinal(ordinal: int, view: int) -> int:
    """The ordinal of the sample that `view`, 1 or more, makes of the one at `ordinal`."""
    return (view << VIEW_SHIFT) | ordinal


def original_of(ordinal: int) -> int:
    """The ordinal of the sample that was read: of a derived one its original's, of another its own."""
    return ordinal & ((1 << VIEW_SHIFT) - 1)


def view_of(ordinal: int) -> int:
    """The number of the view that made a sample; 0 if it was read."""
    return ordinal >> VIEW_SHIFT

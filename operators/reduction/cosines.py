"""Cosines of integer features as integers: the same on every machine, so that no device decides what is merged."""

from __future__ import annotations

import math

import numpy as np

from operators.reduction.plan import Ints

ONE = 1 << 24
"""A cosine of 1. Cosines a sixteen-millionth apart count as equal, and of equals the first wins."""
LARGEST = 1 << 26
"""Of a feature's squared length. Products of two are then below 2^53: sums, root and quotient in float64 are exact, or
rounded once, whatever order a library adds in."""


def cosines(left: Ints, right: Ints) -> Ints:
    """Of each row of `left` [..., n, d] with each of `right` [..., m, d], in parts of ONE; 0 for a row of zeros.

    Both are `tamed`. Rows that are the same, or a multiple of each other, have exactly ONE.
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    dots = a @ np.swapaxes(b, -1, -2)
    squares = (a * a).sum(axis=-1)[..., :, None] * (b * b).sum(axis=-1)[..., None, :]
    return np.asarray(np.rint(dots * ONE / np.sqrt(np.maximum(squares, 1.0))).astype(np.int64))


def tamed(features: Ints) -> Ints:
    """The same times the power of two that makes rows as long as LARGEST allows.

    Then a mean that is rounded to integers has still three digits, and no product is too large.
    """
    most = max(int(features.max(initial=0)), -int(features.min(initial=0)))
    if not most:
        return features
    allowed = math.isqrt(LARGEST // features.shape[-1])
    if most > allowed:
        return features >> (most // (allowed + 1)).bit_length()
    return features << ((allowed // most).bit_length() - 1)

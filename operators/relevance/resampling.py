"""Shrinking a line of pixels and enlarging it again, as one matrix of integers."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

ONE = 256
"""What each row of a matrix adds up to."""


@cache
def there_and_back(size: int, shrunk: int) -> tuple[tuple[int, ...], ...]:
    """The `size` x `size` matrix of resampling to `shrunk` pixels and back, bicubic and antialiased as Pillow's.

    Rational numbers until the one rounding, so the matrix is the same everywhere; what rounding adds to a row is taken
    from its largest value.
    """
    down, up = _resample(size, shrunk), _resample(shrunk, size)
    rows = []
    for weights in up:
        row = [Fraction(0)] * size
        for place, weight in weights.items():
            for source, part in down[place].items():
                row[source] += weight * part
        whole = [round(ONE * value) for value in row]
        whole[whole.index(max(whole))] += ONE - sum(whole)
        rows.append(tuple(whole))
    return tuple(rows)


def _resample(size: int, wanted: int) -> list[dict[int, Fraction]]:
    """Weight of each source pixel in each of the `wanted` pixels, cut and made to add up to one at the edges."""
    ratio = Fraction(size, wanted)
    stretch = max(ratio, Fraction(1))
    rows = []
    for place in range(wanted):
        centre = (place + Fraction(1, 2)) * ratio
        first, last = max(0, int(centre - 2 * stretch)), min(size, int(centre + 2 * stretch) + 1)
        weights = {at: _bicubic(abs(at + Fraction(1, 2) - centre) / stretch) for at in range(first, last)}
        total = sum(weights.values())
        rows.append({at: weight / total for at, weight in weights.items() if weight})
    return rows


def _bicubic(x: Fraction) -> Fraction:
    """Keys' kernel with a = -1/2, for x >= 0."""
    if x < 1:
        return (3 * x - 5) * x * x / 2 + 1
    return (((5 - x) * x - 8) * x + 4) / 2 if x < 2 else Fraction(0)

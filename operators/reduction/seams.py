"""Which boxes the seams between slices cut, and the grid of slices that cuts the fewest."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from operators.slicing.grids import closest_grid

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the picture."""


def slices_of(box: Box, width: int, height: int, grid: tuple[int, int]) -> int:
    """Slices that have a pixel of the box. grid: columns and rows; slices end where slicing.grids rounds them to."""
    (left, top, right, bottom), (cols, rows) = box, grid
    across = sum(left < (col + 1) * width // cols and col * width // cols < right for col in range(cols))
    return across * sum(top < (row + 1) * height // rows and row * height // rows < bottom for row in range(rows))


def seam_crossings(boxes: Sequence[Box], width: int, height: int, grid: tuple[int, int]) -> int:
    """How many of the boxes (texts, entities) stand in more than one slice."""
    return sum(slices_of(box, width, height, grid) > 1 for box in boxes)


def least_cutting_grid(
    boxes: Sequence[Box], width: int, height: int, tile: int, min_tiles: int, max_tiles: int
) -> tuple[int, int]:
    """(columns, rows) of as many slices as `closest_grid` gives, that cut the fewest boxes.

    Of those which cut equally few: the one that closest_grid gives, then the aspect nearest to the picture's. Of as
    many slices, because one slice cuts nothing and shows little.
    """
    closest = closest_grid(width, height, tile, min_tiles, max_tiles)
    num_slices = closest[0] * closest[1]
    grids = [(cols, num_slices // cols) for cols in range(1, num_slices + 1) if num_slices % cols == 0]

    def cost(grid: tuple[int, int]) -> tuple[int, bool, Fraction]:
        distance = abs(Fraction(width, height) - Fraction(*grid))
        return seam_crossings(boxes, width, height, grid), grid != closest, distance

    return min(grids, key=cost)

"""Equal tiles of a stretched picture, on the grid whose aspect is nearest to the picture's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

from operators.slicing.squares import square_view
from pipeline.types import Canvas, View


@lru_cache(maxsize=4096)
def closest_grid(width: int, height: int, tile: int, min_tiles: int, max_tiles: int) -> tuple[int, int]:
    """(columns, rows) of the tiles: min_tiles to max_tiles of them, in the aspect nearest to width / height.

    Of equally near grids (in order of tiles, then columns) each larger one is taken while the picture fills more than
    half of its pixels, `tile` a side. So a 1280x720 picture takes 4x2, not 2x1. Source: InternVL's
    train/dataset.py, find_closest_aspect_ratio; it iterates over a set, which leaves only equal numbers of tiles open.
    """
    best, least = (1, 1), float("inf")
    for cols, rows in _grids(min_tiles, max_tiles):
        distance = abs(width / height - cols / rows)
        if distance < least or (distance == least and width * height > 0.5 * tile * tile * cols * rows):
            best, least = (cols, rows), distance
    return best


@cache
def _grids(min_tiles: int, max_tiles: int) -> list[tuple[int, int]]:
    sides = range(1, max_tiles + 1)
    grids = [(cols, rows) for cols in sides for rows in sides if min_tiles <= cols * rows <= max_tiles]
    return sorted(grids, key=lambda grid: grid[0] * grid[1])


def grid_tiles(
    width: int, height: int, grid: tuple[int, int], tile: int, patch: int, merge: int = 1
) -> tuple[Canvas, list[View]]:
    """The canvas to which the picture is stretched, and the `tile` views of it, row-major.

    grid: (columns, rows) of tiles of tile x tile pixels. Boxes are rounded down to a pixel at each border, so that
    they cover the picture exactly once; cells count the tokens of the stitched grid.
    """
    cols, rows = grid
    whole = square_view((0, 0, width, height), tile, patch, merge)
    tiles = [
        replace(
            whole,
            kind="tile",
            row=row,
            col=col,
            box=(col * width // cols, row * height // rows, (col + 1) * width // cols, (row + 1) * height // rows),
            cells=(row * whole.rows, col * whole.cols, (row + 1) * whole.rows, (col + 1) * whole.cols),
        )
        for row in range(rows)
        for col in range(cols)
    ]
    return Canvas(cols * tile, rows * tile, cols * tile, rows * tile, 0, 0), tiles

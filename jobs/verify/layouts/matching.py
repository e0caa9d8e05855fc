"""Which text each picture belongs to: as the document says, or by the greatest linear sum assignment."""

from __future__ import annotations

from typing import Any

import numpy as np


def texts_of(found: Any) -> list[str]:
    """A list of texts alone; nothing if it is something else."""
    is_sound = isinstance(found, list) and all(isinstance(said, str) for said in found)
    return found if is_sound else []


def match(given: Any, matrix: Any, num_images: int, num_texts: int) -> dict[int, list[int]] | None:
    """The pictures of each text by their numbers, in order; None if one belongs to none.

    given: a number or null for each picture. matrix: how alike they are, a row a picture; for the nulls alone.
    """
    if not isinstance(given, list) or len(given) != num_images:
        return None
    if not all(one is None or (type(one) is int and 0 <= one < num_texts) for one in given):
        return None
    best: list[int] = []
    if None in given:
        if not _is_table(matrix, num_images, num_texts):
            return None
        from scipy.optimize import linear_sum_assignment  # half a second to import, which only such documents cost

        table = np.array(matrix, np.float64)
        best = table.argmax(axis=1).tolist()
        for row, column in zip(*linear_sum_assignment(table, maximize=True), strict=True):
            best[row] = int(column)
    found: dict[int, list[int]] = {}
    for number, one in enumerate(given):
        found.setdefault(best[number] if one is None else one, []).append(number)
    return found


def _is_table(matrix: Any, num_rows: int, num_columns: int) -> bool:
    if not isinstance(matrix, list) or len(matrix) != num_rows:
        return False
    if not all(isinstance(row, list) and len(row) == num_columns for row in matrix):
        return False
    return all(type(value) in {int, float} and abs(value) < 1e9 for row in matrix for value in row)

"""Which sentence each picture of a document belongs to, by MMC4's rule, where only how alike they are is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.errors import Reason
from pipeline.formats.fields import invalid
from pipeline.tar import Member


def assign(matrix: Sequence[Sequence[float]]) -> list[int]:
    """The sentence of each picture: no two have one where there are enough, and all together are most alike.

    matrix: a row a picture, a column a sentence. Pictures that are too many get the sentence most like them.
    """
    from scipy.optimize import linear_sum_assignment  # half a second to import, which only such documents cost

    likeness = np.asarray(matrix, np.float64)
    found = likeness.argmax(axis=1)
    pictures, sentences = linear_sum_assignment(-likeness)
    found[pictures] = sentences
    return [int(number) for number in found]


def sentences_of(member: Member, given: Sequence[Any], matrix: Any, num_sentences: int) -> list[int]:
    """The sentence of each picture: the number given for it, or, where that is null, what the matrix assigns.

    InputError where a number is none of a sentence, or a matrix is needed and has another shape.
    """
    for place, number in enumerate(given):
        if number is not None and (type(number) is not int or not 0 <= number < num_sentences):
            detail = f"image {place} of {member.name} belongs to sentence {number!r:.20} of {num_sentences}"
            raise invalid(member, detail)
    if None not in given:
        return list(given)
    if matrix is None:
        place = list(given).index(None)
        detail = f"image {place} of {member.name} has no sentence, and there is no similarity_matrix"
        raise invalid(member, detail, reason=Reason.FIELD_MISSING)
    if not _is_matrix(matrix, len(given), num_sentences):
        detail = f"similarity_matrix of {member.name} is no table of {len(given)} images by {num_sentences} sentences"
        raise invalid(member, detail)
    assigned = assign(matrix)
    return [assigned[place] if number is None else number for place, number in enumerate(given)]


def _is_matrix(matrix: Any, num_rows: int, num_columns: int) -> bool:
    if not isinstance(matrix, list) or len(matrix) != num_rows:
        return False
    return all(isinstance(row, list) and len(row) == num_columns and all(map(_is_number, row)) for row in matrix)


def _is_number(value: Any) -> bool:
    """Whether it is a likeness, which is between -1 and 1; an integer of any length is no float."""
    return type(value) in {int, float} and -1e9 < value < 1e9

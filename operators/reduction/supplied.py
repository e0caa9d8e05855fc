"""Scores of visual tokens that a model of the user's gave them beforehand: a file of keys, images and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from operators.filters.given_scores import given_rows, read_given

FIELDS = ("key", "image", "scores")
GREATEST = 1 << 20
"""What the greatest magnitude of an image's scores becomes: scores a millionth of it apart count as equal."""
Given = Mapping[tuple[str, int], npt.NDArray[np.int32]]


def supplied_scores(path: str) -> Given:
    """Scores of each image's tokens, in the order of its sequence, by the document's key and the image's number in it.

    path: a .jsonl of {"key": ..., "image": ..., "scores": [...]} or a .parquet with these columns; `image` counts from
    0. Scores of an image are scaled to integers by its greatest magnitude, which leaves their order and shares as they
    are. All of the file is in memory, 4 bytes a token; one that has changed is read again. ValueError in one line: no
    such file, no such fields, no finite numbers, or an image that stands there twice.
    """
    return read_given(path, FIELDS, _read)


@lru_cache(4)
def _read(where: Path, changed_ns: int) -> Given:  # noqa: ARG001 - part of what is remembered
    found: dict[tuple[str, int], npt.NDArray[np.int32]] = {}
    for number, (key, image, scores) in enumerate(given_rows(where, FIELDS), 1):
        values = _finite(scores)
        if not isinstance(key, str) or not _is_count(image) or values is None:
            raise ValueError(
                f"{where}, row {number}: a text as key, a number from 0 as image and a list of finite numbers as "
                "scores expected"
            )
        place = (key, int(image))  # type: ignore[call-overload]
        if place in found:
            raise ValueError(f"{where}, row {number}: image {place[1]} of key {key!r:.60} stands there twice")
        found[place] = as_integers(values)
    return found


def as_integers(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Finite values in parts of their greatest magnitude, of GREATEST."""
    most = float(np.abs(values).max(initial=0.0))
    return np.rint(values / (most or 1.0) * GREATEST).astype(np.int32)


def _is_count(value: object) -> bool:
    """JSON's numbers come as floats."""
    return type(value) in (int, float) and 0 <= value < np.inf and value == int(value)  # type: ignore[operator, call-overload]


def _finite(values: object) -> npt.NDArray[np.float64] | None:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    found = np.array(values, np.float64)
    return found if np.isfinite(found).all() else None

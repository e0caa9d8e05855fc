"""Keeps pandas out of processes that have no use for it."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa


def keep_pandas_out() -> None:
    """For whoever owns the process: pyarrow will make no data frames in it.

    It asks of what an array is made of whether that is pandas' own, and where pandas is installed, as it is with Ray,
    imports it to ask: .3 s and 55 MB in each process. It tries once, and finds none here; others may import it later.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    """Finds everything as ever, and no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)

"""Turns the RGB copies of pictures that are to be written as ids into codes: behind it no row has a pixel of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from operators.discrete.coding import Coder
from operators.discrete.config import DISCRETISE_VERSION
from operators.threads import one_thread
from pipeline.operator import Row, map_rows
from pipeline.schema import DECODED


class Discretise:
    """Gives each of `pictures` that has a `copy` its `codes` in place of it."""

    name = "discretise"
    version = DISCRETISE_VERSION

    def __init__(self, coder: Coder) -> None:
        self._coder = coder

    def __call__(self, table: pa.Table) -> pa.Table:
        with one_thread():
            return map_rows(table, DECODED, self.name, self._coded)

    def _coded(self, row: Row) -> Row:
        return {"pictures": [one | self._codes(one["copy"]) for one in row["pictures"]]}

    def _codes(self, copy: Row | None) -> dict[str, Any]:
        if copy is None:
            return {}
        levels = np.frombuffer(copy["rgb"], np.uint8).reshape(copy["height"], copy["width"], 3)
        codes = self._coder(levels)
        rows, cols = codes.shape
        return {"copy": None, "codes": {"rows": rows, "cols": cols, "ids": codes.ravel().tolist()}}

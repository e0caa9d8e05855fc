"""Plans which visual tokens of each image a trainer keeps, merges, pools or drops, by the methods of the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from operators.reduction.composing import reduce_tokens, to_row
from operators.reduction.grids import has_marks, token_grids
from operators.reduction.method import Method, Need
from operators.reduction.plan import ImageTokens, Ints
from pipeline.errors import InputError
from pipeline.operator import Row, map_rows
from pipeline.schema import MEASURED
from pipeline.types import SegmentKind

Look = Callable[[Row, int, Row | None], dict[Need, Ints]]
"""What methods need of each token, int64 [n] or [n, d]: of a row, the number of its image, and what it was scored."""


class Reduce:
    """Adds `reductions`, one per image, and lets go of the small pictures."""

    name = "reduce"
    version = 1

    def __init__(self, methods: Sequence[Method], look: Look) -> None:
        """look: fills the methods' needs."""
        self._methods = methods
        self._look = look

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, MEASURED, self.name, self._reduced)

    def _reduced(self, row: Row) -> Row:
        places = [i for i, segment in enumerate(row["segments"]) if segment["kind"] == SegmentKind.IMAGE]
        relevances = iter(row.get("relevances", ()))
        return {
            "reductions": [
                self._reduce(row, number, place, next(relevances, None)) if plan["views"] else None
                for number, (place, plan) in enumerate(zip(places, row["plans"], strict=True))
            ]
        }

    def _reduce(self, row: Row, number: int, place: int, relevance: Row | None) -> Row:
        grids = token_grids(row["plans"][number], row["runs"][number])
        # Of images that are written as ids nothing is reduced, and none counts.
        number_seen = sum(bool(plan["views"]) for plan in row["plans"][:number])
        document = f"{row['shard']}/{row['key']}#{row['ordinal']}"
        try:
            seen = self._look(row, number, relevance)
            tokens = ImageTokens(
                grids.grids,
                grids.kinds,
                grids.places,
                scores=seen.get("scores"),
                salience=seen.get("salience"),
                features=seen.get("features"),
                identity=f"{document}/{number_seen}",
                document=document,
                number=number_seen,
                count=sum(bool(plan["views"]) for plan in row["plans"]),
                has_marks=has_marks(row["runs"][number]),
            )
            return to_row(reduce_tokens(self._methods, tokens))
        except InputError as error:
            segment = row["segments"][place]
            where = {name: segment[name] for name in ("member", "offset", "size")}
            raise InputError(error.reason, error.detail, **where, segment=place) from error

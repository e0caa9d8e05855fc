"""Makes further samples of each document: the same in a wrong order, or as a question with its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from operators.deriving.document import Said, document_of
from operators.deriving.views import NUMBERS, ViewName, view_of_document
from pipeline.columns import table_from_rows
from pipeline.derived import derived_ordinal, view_of
from pipeline.operator import Row
from pipeline.schema import DECODED
from pipeline.types import SegmentKind

TURNS = {None: 0, "user": 0, "assistant": 1}
OURS: Row = {"kind": int(SegmentKind.TEXT), "member": "", "offset": 0, "size": 0, "encoding": None}
"""Of a text that no shard holds."""


@dataclass(frozen=True, slots=True)
class Derive:
    """Emits each row and, directly behind it, a row for each of `views` that makes sense of its document.

    Rows that are rejected, withheld, an end, or derived already pass as they are, and so do conversations.
    """

    views: tuple[ViewName, ...]
    name = "derive"
    version = 1

    def __call__(self, table: pa.Table) -> pa.Table:
        return table_from_rows([made for row in table.to_pylist() for made in self._with_views(row)], DECODED)

    def _with_views(self, row: Row) -> list[Row]:
        is_out = row["rejection"] is not None or row["withheld"] or row["shard_end"] is not None
        if is_out or view_of(row["ordinal"]) or any(one["role"] is not None for one in row["segments"]):
            return [row]
        derived = list(self._views(row))
        return [row | {"num_derived": len(derived)}, *derived]

    def _views(self, row: Row) -> Iterator[Row]:
        document = document_of(row)
        for name in self.views:
            said = view_of_document(name, document)
            if said is not None:
                identity = {"ordinal": derived_ordinal(row["ordinal"], NUMBERS[name]), "key": f"{row['key']}~{name}"}
                yield row | identity | _arranged(row, said) | {"dropped": [], "num_derived": 0}


def _arranged(row: Row, said: Sequence[Said]) -> Row:
    """The segments of a view, and the pictures and small copies in their order; numbers begin anew."""
    images = [i for i, one in enumerate(row["segments"]) if one["kind"] == SegmentKind.IMAGE]
    picture = {i: number for number, i in enumerate(images)}
    shown = [picture[part] for part, _ in said if isinstance(part, int) and part in picture]
    return {
        "segments": [
            (OURS | {"text": part} if isinstance(part, str) else row["segments"][part])
            | {"number": number, "role": role, "turn": TURNS[role]}
            for number, (part, role) in enumerate(said)
        ],
        "pictures": [row["pictures"][i] for i in shown],
        "smalls": [row["smalls"][i] for i in shown] if row["smalls"] else [],
    }

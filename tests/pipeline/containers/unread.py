"""A row of a Parquet shard from the members that were made of it: what columns.py says, undone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pipeline.containers.columns import CAPTIONS, PICTURE, PICTURES


def row_of(key: str, members: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """The columns of the row: those of its JSON, with pictures instead of their names, or a picture and its text.

    members: (name, bytes) of each. A picture that no JSON names is in `images` by its number, or in `image` if it has
    none. KeyError if the JSON names a picture that is not there.
    """
    fields = {name.removeprefix(f"{key}."): data for name, data in members}
    row: dict[str, Any] = json.loads(fields.pop("json", b"{}"))
    if "txt" in fields:
        row[CAPTIONS[0]] = fields.pop("txt").decode()
    if isinstance(row.get(PICTURES), list):
        row[PICTURES] = [None if name is None else fields[name] for name in row[PICTURES]]
    elif len(fields) == 1 and "." not in next(iter(fields)):
        row[PICTURE] = next(iter(fields.values()))
    elif fields:
        row[PICTURES] = [fields[name] for name in sorted(fields, key=lambda name: int(name.partition(".")[0]))]
    return row

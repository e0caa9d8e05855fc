"""The encoded pictures of a shard, fetched again from the places that reading them gave."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.containers.batches import DamagedRowsError, RowGroup, batches, damage, open_rows, row_groups
from pipeline.containers.columns import Cell, cells_of, layout_of
from pipeline.errors import StorageError
from pipeline.types import BASE64, CELL


class PicturePlace(NamedTuple):
    """Where a picture is: what a segment says of it."""

    member: str
    offset: int
    size: int
    encoding: str | None


def fetch(url: str, places: Sequence[PicturePlace]) -> list[bytes]:
    """The encoded picture at each place of one shard.

    StorageError if the shard is gone, or if what is there now is no such picture.
    """
    cells = {i for i, place in enumerate(places) if place.encoding == CELL}
    ranges = [i for i in range(len(places)) if i not in cells]
    found = _fetch_cells(url, [places[i].member for i in sorted(cells)]) if cells else {}
    read = storage.read_ranges(url, [(places[i].offset, places[i].size) for i in ranges]) if ranges else []
    direct = dict(zip(ranges, read, strict=True))
    return [
        _sized(url, place, found.get(place.member)) if i in cells else _decoded(url, place, direct[i])
        for i, place in enumerate(places)
    ]


def _decoded(url: str, place: PicturePlace, data: bytes) -> bytes:
    if place.encoding != BASE64:
        return data
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise _changed(url, place) from error


def _sized(url: str, place: PicturePlace, data: bytes | None) -> bytes:
    if data is None or len(data) != place.size:
        raise _changed(url, place)
    return data


def _changed(url: str, place: PicturePlace) -> StorageError:
    return StorageError(f"{url}: {place.member} is another one than when it was read; the shard changed, run again")


def _fetch_cells(url: str, members: Sequence[str]) -> dict[str, bytes]:
    """The pictures of a Parquet shard by member, as far as they are there. No other column is read."""
    wanted: dict[int, list[str]] = {}
    for member in members:
        wanted.setdefault(int(member.partition(".")[0]), []).append(member)
    found: dict[str, bytes] = {}
    try:
        with storage.open_input(url) as (stream, size):
            file = open_rows(stream)
            layout = layout_of(file.schema_arrow)
            if layout is None or layout.pictures is None:
                return found
            for group in row_groups(stream, [layout.pictures], size):
                inside = sorted(row for row in wanted if group.first <= row < group.first + group.num_rows)
                for row, values in _rows(file, group, layout.pictures, inside):
                    names = {member.partition(".")[2]: member for member in wanted[row]}
                    with damage():
                        cells = cells_of(values, layout, size)
                        found |= {
                            names[cell.name]: cell.data()
                            for cell in cells
                            if isinstance(cell, Cell) and cell.name in names
                        }
    except DamagedRowsError as error:
        raise StorageError(f"{url}: {error}; the shard changed while it was read, run again") from error
    return found


def _rows(
    file: pq.ParquetFile, group: RowGroup, column: str, numbers: Sequence[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of these numbers, in order, each as a batch of one; nothing behind the last is read."""
    waiting = deque(numbers)
    if not waiting:
        return
    for first, batch in batches(file, group, [column]):
        while waiting and waiting[0] < first + batch.num_rows:
            number = waiting.popleft()
            yield number, batch.slice(number - first, 1)
        if not waiting:
            return

"""A Parquet file: each row is one sample, whose key is its number in the file from 0, as eight digits.

The members of a row are those of columns.py. A place in such a shard is: `offset`, where the row group of the row
begins; `size`, the bytes of the picture or JSON by itself; and the member's name, which has the row's number and the
picture's place in its list. The file is read twice, once for its hash.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.containers.batches import BATCH_BYTES, DamagedRowsError, RowGroup, batches, damage, open_rows, row_groups
from pipeline.containers.columns import (
    EXPECTED,
    NOT_DOWNLOADED,
    NOT_TEXT,
    Cell,
    Layout,
    bytes_at,
    cells_of,
    describe,
    json_of,
    layout_of,
    text_bytes,
)
from pipeline.containers.groups import KEY_DIGITS, Group, fits, to_rejected
from pipeline.errors import Reason
from pipeline.formats import Format
from pipeline.tar import Damage, Member
from pipeline.tar_stream import CHUNK_BYTES, HashingReader
from pipeline.types import ReadLimits, Sample


def read_rows(
    reader: HashingReader,
    size: int | None,  # noqa: ARG001 - what was hashed has its size
    form: Format,
    limits: ReadLimits,
) -> Iterator[Group | Sample]:
    """Its groups and damages, as `Groups` says.

    A file whose footer cannot be read is one damage. In a row group that cannot be read to its end the rows of the
    batches before are samples, and the rest of them is one damage, whose place is the row group.
    """
    while reader.skip(CHUNK_BYTES):
        pass
    length = reader.offset
    stream = reader.rewind()
    try:
        file = open_rows(stream)
        layout = layout_of(file.schema_arrow)
        groups = row_groups(stream, layout.names if layout else (), length)
    except DamagedRowsError as error:
        detail = f"the shard is no Parquet file that can be read: {error}; write it again"
        yield to_rejected(Damage(Reason.PARQUET_INVALID, detail, 0, length))
        return
    if layout is None:
        detail = f"the columns are {describe(file.schema_arrow):.100}; expected {EXPECTED}"
        yield to_rejected(Damage(Reason.FIELD_MISSING, detail, 0, length))
        return
    for group in groups:
        yield from _read_group(file, group, layout, form, limits)


def _read_group(
    file: pq.ParquetFile, group: RowGroup, layout: Layout, form: Format, limits: ReadLimits
) -> Iterator[Group | Sample]:
    following = group.first
    try:
        for first, batch in batches(file, group, layout.names):
            with damage():
                is_small = text_bytes(batch, layout) <= BATCH_BYTES
            for i in range(batch.num_rows):
                with damage():
                    found = _to_group(
                        first + i, batch.slice(i, 1), group.offset, layout, form, limits, is_small=is_small
                    )
                yield found
                following += 1
    except DamagedRowsError as error:
        detail = f"row group {group.number} cannot be read from row {following} on: {error}"
        yield to_rejected(Damage(Reason.PARQUET_INVALID, detail, group.offset, group.size))


def _to_group(
    number: int,
    row: pa.RecordBatch,
    offset: int,
    layout: Layout,
    form: Format,
    limits: ReadLimits,
    *,
    is_small: bool,
) -> Group:
    """The group of a batch of one row, whose row group begins at `offset`. is_small: see `_json`."""
    group = Group(f"{number:0{KEY_DIGITS}}")
    cells = cells_of(row, layout, limits.sample_members)

    def add(last: str, size: int, data: bytes | None) -> None:
        is_content = fits(last, size, form, limits)
        kept = data if is_content and group.holds(size, limits) else None
        member = Member(f"{group.key}.{last}", offset, size, kept, size > limits.member_bytes)
        group.add(member, size if is_content else 0, limits)

    if layout.talks:
        data, size = _json(row, layout, cells, limits.text_bytes, is_small=is_small)
        add("json", size, data)
    for cell in cells:
        if isinstance(cell, Cell):
            is_read = fits(cell.name, cell.size, form, limits) and group.holds(cell.size, limits)
            add(cell.name, cell.size, cell.data() if is_read else None)
        elif cell is not None:
            # What follows a question mark may be a signature.
            group.hint = NOT_DOWNLOADED.format(key=group.key, name=cell.partition("?")[0])
    caption = None if layout.caption is None else bytes_at(row.column(layout.caption), 0)
    if caption is not None:
        add("txt", len(caption), caption)
    if not group.num_members:
        add("json", 2, b"{}")
    return group


def _json(
    row: pa.RecordBatch, layout: Layout, cells: list[Cell | str | None], most: int, *, is_small: bool
) -> tuple[bytes | None, int]:
    """The JSON and its size. Of one whose texts alone are over `most` bytes it is those, and none is made of them.

    is_small: the texts are known to fit memory. Where they stand many times in a row, they may not.
    """
    if is_small and most:
        data = json_of(row, layout, cells)
        if len(data) <= most and data != NOT_TEXT:
            return data, len(data)
    size = text_bytes(row, layout)
    if size > most:
        return None, size
    data = json_of(row, layout, cells)
    return data, len(data)

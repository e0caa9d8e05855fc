"""A Parquet file: each row is one sample, whose key is its number in the file from 0, as eight digits.

The members of a row are those of columns.py. A place in such a shard is: `offset`, where the row group of the row
begins; `size`, the bytes of the picture or JSON by itself; and the member's name, which has the row's number and the
picture's place in its list. The file is read twice, once for its hash.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.containers.batches import DamagedRowsError, RowGroup, batches, damage, open_rows, row_groups
from pipeline.containers.columns import (
    EXPECTED,
    NOT_DOWNLOADED,
    Cell,
    Layout,
    bytes_at,
    cells_of,
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
    try:
        file = open_rows(reader.rewind())
    except DamagedRowsError as error:
        detail = f"the shard is no Parquet file that can be read: {error}; write it again"
        yield to_rejected(Damage(Reason.PARQUET_INVALID, detail, 0, length))
        return
    layout = layout_of(file.schema_arrow)
    if layout is None:
        found = ", ".join(f"{field.name}: {field.type}" for field in file.schema_arrow)
        detail = f"the columns are {found:.100}; expected {EXPECTED}"
        yield to_rejected(Damage(Reason.FIELD_MISSING, detail, 0, length))
        return
    for group in row_groups(file, layout.names, length):
        yield from _read_group(file, group, layout, form, limits)


def _read_group(
    file: pq.ParquetFile, group: RowGroup, layout: Layout, form: Format, limits: ReadLimits
) -> Iterator[Group | Sample]:
    following = group.first
    try:
        for first, batch in batches(file, group, layout.names):
            for i in range(batch.num_rows):
                with damage():
                    found = _to_group(first + i, batch.slice(i, 1), group.offset, layout, form, limits)
                yield found
                following += 1
    except DamagedRowsError as error:
        detail = f"row group {group.number} cannot be read from row {following} on: {error}"
        yield to_rejected(Damage(Reason.PARQUET_INVALID, detail, group.offset, group.size))


def _to_group(number: int, row: pa.RecordBatch, offset: int, layout: Layout, form: Format, limits: ReadLimits) -> Group:
    group = Group(f"{number:0{KEY_DIGITS}}")
    cells = cells_of(row, layout, limits.sample_members)

    def add(last: str, size: int, data: bytes | None) -> None:
        is_content = fits(last, size, form, limits)
        kept = data if is_content and group.holds(size, limits) else None
        member = Member(f"{group.key}.{last}", offset, size, kept, size > limits.member_bytes)
        group.add(member, size if is_content else 0, limits)

    if layout.talks:
        size = sum(text_bytes(row.column(name)) for name in layout.talks)
        data = json_of(row, layout, cells) if size <= limits.text_bytes else None
        add("json", size if data is None else len(data), data)
    for cell in cells:
        if isinstance(cell, Cell):
            is_read = fits(cell.name, cell.size, form, limits) and group.holds(cell.size, limits)
            add(cell.name, cell.size, cell.data() if is_read else None)
        elif cell is not None:
            group.hint = NOT_DOWNLOADED.format(key=group.key, name=cell)
    caption = None if layout.caption is None else bytes_at(row.column(layout.caption), 0)
    if caption is not None:
        add("txt", len(caption), caption)
    if not group.num_members:
        add("json", 2, b"{}")
    return group

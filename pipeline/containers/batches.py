"""A Parquet file row group by row group, in batches that fit memory; what cannot be read is known with its place.

Texts and pictures stay in the dictionaries that the file keeps them in, so that a picture which a million rows name is
in memory once. Known limit: a page is unpacked whole, and the file alone says how large that is; a file that lies about
it costs what the page unpacks to, at most 2 GiB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.parquet_footer import read_footer

BATCH_BYTES = 32 << 20
"""Unpacked, on average over the row group."""
BATCH_ROWS = 1024
BUFFER_BYTES = 4 << 20
"""Read at once of a column: a store is asked a few times a row group, and all columns together stay small."""
MAX_GROUP_BYTES = 2 << 30
"""Of the columns that are read, unpacked: writers make row groups of 30 MB to 1 GB."""


class DamagedRowsError(Exception):
    """Rows that cannot be read, or that claim more than they may."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group by its place in the file: where its first page begins, its bytes as stored, its first row's number.

    num_rows: as the footer claims it.
    """

    number: int
    offset: int
    size: int
    first: int
    num_rows: int
    batch_rows: int
    claim: str
    """What it claims beyond what may be, or nothing."""


@contextmanager
def damage() -> Iterator[None]:
    """What Parquet code says of the bytes, as DamagedRowsError; what the stream itself says goes through as it is."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # Arrow says OSError too, of bytes that do not unpack, and knows no number
            raise
        raise DamagedRowsError(_one_line(error)) from error
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, ValueError, IndexError) as error:
        raise DamagedRowsError(_one_line(error)) from error


def open_rows(stream: BinaryIO) -> pq.ParquetFile:
    """The file, with its texts and pictures in dictionaries. DamagedRowsError if its footer cannot be read."""
    with damage():
        plain = pq.ParquetFile(stream)
        columns = (plain.schema.column(i) for i in range(len(plain.schema)))
        words = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        return pq.ParquetFile(
            stream,
            metadata=plain.metadata,
            read_dictionary=words,
            buffer_size=BUFFER_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
        )


def row_groups(stream: BinaryIO, columns: Collection[str], size: int) -> list[RowGroup]:
    """The row groups of a file of `size` bytes. columns: those of the schema that are to be read.

    No more rows than bytes are believed, so that a small file cannot hold a job up with a billion empty ones.
    DamagedRowsError if the footer cannot be read.
    """
    with damage():
        claimed = read_footer(stream, size)
    found: list[RowGroup] = []
    first = 0
    for number, rows in enumerate(claimed):
        read = [chunk for chunk in rows.chunks if chunk.column in columns]
        unpacked = sum(chunk.unpacked for chunk in read)
        most = max([rows.num_rows, *(chunk.num_values for chunk in read)])
        claim = ""
        if unpacked > MAX_GROUP_BYTES:
            claim = f"{unpacked} bytes unpacked, at most {MAX_GROUP_BYTES} are read; write row groups of fewer rows"
        if first + most > size or rows.num_rows < 0:
            claim = f"{rows.num_rows} rows and {most} values, more than the file has bytes"
        batch_rows = min(BATCH_ROWS, max(1, BATCH_BYTES * rows.num_rows // max(1, unpacked)))
        offset = min(max(0, min((chunk.offset for chunk in rows.chunks), default=0)), size)
        stored = min(max(0, sum(chunk.stored for chunk in rows.chunks)), size - offset)
        found.append(RowGroup(number, offset, stored, first, rows.num_rows, batch_rows, claim))
        first += max(0, rows.num_rows)
    return found


def batches(file: pq.ParquetFile, group: RowGroup, columns: Collection[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of a row group, in order, each batch with its first row's number in the file.

    DamagedRowsError where a batch cannot be read, or where there are other rows than the row group claims.
    """
    if group.claim:
        raise DamagedRowsError(f"it claims {group.claim}")
    done = 0
    with damage():
        found = file.iter_batches(group.batch_rows, row_groups=[group.number], columns=[*columns], use_threads=False)
    while True:
        with damage():
            batch = next(found, None)
        if batch is None or done + batch.num_rows > group.num_rows:
            break
        yield group.first + done, batch
        done += batch.num_rows
    if done != group.num_rows:
        raise DamagedRowsError(f"it claims {group.num_rows} rows and has others")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

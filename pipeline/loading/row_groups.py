"""Row groups of Parquet files, each in one ranged request that is tried again: no file stays open, forks are safe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import StorageError

TAIL_BYTES = 1 << 16
"""Asked for at first: the footer of a file of eight row groups took 33 KB."""
MAGIC = b"PAR1"
LENGTH_AND_MAGIC = 8


def read_footer(url: str, size: int) -> pq.FileMetaData:
    """The metadata of the file of `size` bytes. StorageError, with its URL, if it is damaged."""
    want = min(size, TAIL_BYTES)
    tail = _bytes(url, size - want, want)
    length = int.from_bytes(tail[-LENGTH_AND_MAGIC : -len(MAGIC)], "little") + LENGTH_AND_MAGIC
    if tail[-len(MAGIC) :] != MAGIC or length > size:
        raise _damaged(url, "no Parquet footer at its end")
    if length > want:
        want, tail = length, _bytes(url, size - length, length)
    try:
        return pq.read_metadata(_Part(size - want, tail, size))
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(url, error) from error


def read_row_group(url: str, footer: pq.FileMetaData, group: int, columns: Sequence[str]) -> pa.Table:
    """One row group; of the columns those that are there. StorageError, with the file's URL, if it is damaged."""
    found = footer.row_group(group)
    places = [found.column(i) for i in range(found.num_columns)]
    starts = [
        place.data_page_offset if place.dictionary_page_offset is None else place.dictionary_page_offset
        for place in places
    ]
    start = min(starts)
    end = max(own + place.total_compressed_size for own, place in zip(starts, places, strict=True))
    source = _Part(start, _bytes(url, start, end - start), end)
    try:
        parquet = pq.ParquetFile(source, metadata=footer)
        present = [name for name in columns if name in parquet.schema_arrow.names]
        return parquet.read_row_group(group, columns=present, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(url, error) from error


def _bytes(url: str, offset: int, size: int) -> bytes:
    return storage.read_ranges(url, [(offset, size)])[0]


def _damaged(url: str, why: object) -> StorageError:
    return StorageError(f"{url} is damaged: {why}; list what is wrong with: lodepack verify")


class _Part(io.RawIOBase):
    """A file of `size` bytes of which only `data`, from `offset` on, is here; the rest reads as the end."""

    def __init__(self, offset: int, data: bytes, size: int) -> None:
        self._offset, self._data, self._size, self._at = offset, memoryview(data), size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        first = self._at - self._offset
        part = self._data[first : first + len(buffer)] if first >= 0 else self._data[:0]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

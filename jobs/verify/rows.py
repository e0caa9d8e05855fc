"""The rows of a Parquet shard as members, by the rules of the output contract and with code of its own.

A row has the key of its number from 0, in eight digits. Its members are, in this order: `KEY.json` of the columns
texts, conversations and messages; a picture for each place of `images`, or the one of `image`; `KEY.txt` of text or
caption, where no JSON is. Their place is the row group. The file is read twice, first for its hash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.verify.records import LimitsSection
from jobs.verify.walk import CHUNK_BYTES, Entry, Source
from pipeline.parquet_footer import Rows, read_footer

Wanted = Callable[[str, int], bool]
TALKS = ("texts", "conversations", "messages")
STRINGS = {pa.string(), pa.large_string()}
HELD = STRINGS | {pa.binary(), pa.large_binary(), pa.null()}
"""What a picture may be: a path, bytes, or nothing in the whole column."""
MOST_UNPACKED = 2 << 30
"""Bytes of the columns that count, in one row group."""
AT_ONCE = (1024, 32 << 20)
"""Rows, and bytes on average, that are unpacked together: of those that cannot be, none is there."""
BEGINNINGS = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF8",),
    "bmp": (b"BM",),
    "tiff": (b"II*\0", b"MM\0*"),
    "webp": (b"RIFF",),
}


@dataclass(frozen=True, slots=True)
class _Columns:
    images: str = ""
    talks: tuple[str, ...] = ()
    caption: str = ""

    @property
    def names(self) -> list[str]:
        return [name for name in (self.images, *self.talks, self.caption) if name]


def walk_rows(source: Source, wanted: Wanted, limits: LimitsSection) -> Iterator[Entry]:
    """The members of every row, and a damage for the file or for the rest of a row group that cannot be read."""
    while source.skip(CHUNK_BYTES):
        pass
    with source.again() as stream:
        yield from _walk_file(stream, source.offset, wanted, limits)


def _walk_file(stream: BinaryIO, file_bytes: int, wanted: Wanted, limits: LimitsSection) -> Iterator[Entry]:
    try:
        file = _open(stream)
        groups = read_footer(stream, file_bytes)
    except OSError as error:
        _raise_of_disk(error)
        yield Entry(None, 0, file_bytes)
        return
    except (pa.ArrowException, ValueError):
        yield Entry(None, 0, file_bytes)
        return
    columns = _columns_of(file.schema_arrow)
    if not columns.images and not columns.talks:
        yield Entry(None, 0, file_bytes)
        return
    first = 0
    for number, group in enumerate(groups):
        yield from _walk_group(file, number, group, first, columns, file_bytes, wanted, limits)
        first += max(0, group.num_rows)


def _open(stream: BinaryIO) -> pq.ParquetFile:
    schema = pq.ParquetFile(stream).schema
    leaves = [schema.column(i) for i in range(len(schema))]
    packed = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    return pq.ParquetFile(stream, read_dictionary=packed, buffer_size=1 << 22, page_checksum_verification=True)


def _walk_group(
    file: pq.ParquetFile,
    number: int,
    group: Rows,
    first: int,
    columns: _Columns,
    file_bytes: int,
    wanted: Wanted,
    limits: LimitsSection,
) -> Iterator[Entry]:
    begin = max(0, min(min((chunk.offset for chunk in group.chunks), default=0), file_bytes))
    damage = Entry(None, begin, max(0, min(sum(chunk.stored for chunk in group.chunks), file_bytes - begin)))
    counted = [chunk for chunk in group.chunks if chunk.column in columns.names]
    unpacked = sum(chunk.unpacked for chunk in counted)
    most = max([group.num_rows, *(chunk.num_values for chunk in counted)])
    if unpacked > MOST_UNPACKED or first + most > file_bytes or group.num_rows < 0:
        yield damage
        return
    rows, size = AT_ONCE
    at_once = min(rows, max(1, size * group.num_rows // max(1, unpacked)))
    done = 0
    try:
        for batch in file.iter_batches(at_once, row_groups=[number], columns=columns.names, use_threads=False):
            if done + batch.num_rows > group.num_rows:
                break
            for i in range(batch.num_rows):
                row = {name: batch.column(name)[i] for name in columns.names}
                # Made before any is given on: what is damaged in a row leaves nothing of it.
                yield from [*_members(row, f"{first + done:08d}", begin, columns, wanted, limits)]
                done += 1
    except OSError as error:
        _raise_of_disk(error)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, ValueError, IndexError):
        pass
    if done != group.num_rows:
        yield damage


def _raise_of_disk(error: OSError) -> None:
    """What the disk says has a number; what Parquet says of bytes has none."""
    if error.errno is not None:
        raise error


def _columns_of(schema: pa.Schema) -> _Columns:
    kinds = {name: schema.field(name).type for name in schema.names if schema.names.count(name) == 1}
    talks = tuple(name for name in TALKS if name in kinds and _is_list(kinds[name]))
    images = ""
    if "images" in kinds and _is_list(kinds["images"]) and _holds_images(kinds["images"].value_type):
        images = "images"
    elif "image" in kinds and _holds_images(kinds["image"]):
        images = "image"
    captions = [name for name in ("text", "caption") if name in kinds and _plain(kinds[name]) in STRINGS]
    return _Columns(images, talks, captions[0] if captions and not talks else "")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _holds_images(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return _plain(kind) in HELD
    held = [_plain(field.type) for field in kind if field.name in {"bytes", "path"}]
    return bool(held) and set(held) <= HELD


def _members(
    row: dict[str, Any], key: str, begin: int, columns: _Columns, wanted: Wanted, limits: LimitsSection
) -> Iterator[Entry]:
    images = _images(row[columns.images], columns.images == "images", limits) if columns.images else []
    count = 0
    if columns.talks:
        size = sum(_weight(row[name]) for name in columns.talks)
        data = None if size > limits.max_text_bytes else _json(row, columns, images)
        size = size if data is None else len(data)
        name = f"{key}.json"
        yield Entry(name, begin, size, data if data is not None and wanted(name, size) else None)
        count += 1
    for field, found in images:
        if isinstance(found, pa.Buffer):
            name = f"{key}.{field}"
            yield Entry(name, begin, found.size, found.to_pybytes() if wanted(name, found.size) else None)
            count += 1
    caption = _bytes_of(row[columns.caption]) if columns.caption else None
    if caption is not None:
        name = f"{key}.txt"
        yield Entry(name, begin, caption.size, caption.to_pybytes() if wanted(name, caption.size) else None)
        count += 1
    if not count:
        yield Entry(f"{key}.json", begin, 2, b"{}")


def _images(value: pa.Scalar, is_list: bool, limits: LimitsSection) -> list[tuple[str, pa.Buffer | str | None]]:
    """(field, bytes) of the pictures by place; (where it is said to be, the same) or nothing where there are none."""
    inner = value.values if is_list else [value]
    values = [] if inner is None else inner[: limits.max_sample_members + 1]
    found: list[tuple[str, pa.Buffer | str | None]] = []
    for place, one in enumerate(values):
        fields = {name: one[name] for name in one.type.names} if pa.types.is_struct(one.type) and one.is_valid else {}
        if not pa.types.is_struct(one.type):
            fields = {"path" if _plain(one.type) in STRINGS else "bytes": one}
        data, path = (_bytes_of(fields[name]) if name in fields else None for name in ("bytes", "path"))
        if data is not None:
            start = data.slice(0, min(16, data.size)).to_pybytes()
            kind = next((kind for kind, begins in BEGINNINGS.items() if start.startswith(begins)), "jpg")
            found.append((f"{place}.{kind}" if is_list else kind, data))
        else:
            said = None if path is None else path.to_pybytes().decode("utf-8", "replace")
            found.append((said or "", said))
    return found


def _bytes_of(value: pa.Scalar) -> pa.Buffer | None:
    if not value.is_valid:
        return None
    return (value.value if isinstance(value, pa.DictionaryScalar) else value).as_buffer()


def _json(row: dict[str, Any], columns: _Columns, images: list[tuple[str, pa.Buffer | str | None]]) -> bytes:
    try:
        said = {name: row[name].as_py() for name in columns.talks}
    except UnicodeDecodeError:
        return b"\xff"
    if columns.images == "images":
        is_there = row["images"].is_valid
        said["images"] = [field if found is not None else None for field, found in images] if is_there else None
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), default=lambda _: None).encode()


def _weight(value: pa.Scalar) -> int:
    """No more than a value has as JSON: a text its bytes, a list one for each place, whatever else there is 1."""
    if _is_list(value.type):
        inner = [] if value.values is None else value.values
        return len(inner) + sum(map(_weight, inner))
    if pa.types.is_struct(value.type):
        return sum(
            _weight(value[field.name] if value.is_valid else pa.scalar(None, field.type)) for field in value.type
        )
    if _plain(value.type) in STRINGS:
        found = _bytes_of(value)
        return 0 if found is None else int(found.size)
    return 1

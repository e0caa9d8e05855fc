"""Which columns of a Parquet shard are read, and the members that a row of them becomes.

Three layouts, told by the names and types of columns; all other columns are passed over:

    images: list of pictures; texts: list of strings             ROW.json, ROW.0.jpg, ROW.2.png …  (OBELICS)
    images or image; conversations or messages: list of turns    ROW.json, ROW.0.jpg … or ROW.jpg
    image: a picture; text or caption: a string                  ROW.jpg, ROW.txt

A picture is its encoded bytes, or a struct with `bytes` beside its `path` as `datasets` stores them. Its number is its
place in the list, its extension that of its first bytes. The JSON has the columns named above, with the names of the
members in the place of pictures: {"texts": [null, "…"], "images": ["0.jpg", null]}. Where a picture is a path or a URL
alone, that stands there instead, and no member has such a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

PICTURES = "images"
PICTURE = "image"
TALKS = ("texts", "conversations", "messages")
"""Columns that stand in a row's JSON."""
CAPTIONS = ("text", "caption")
"""Columns of which the first that is there is a picture's text, where none of the above is."""
EXPECTED = "image or images, or one of " + ", ".join(TALKS)
FIELDS = ("bytes", "path")
"""Of a picture that is a struct."""
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"RIFF", "webp"),
)
NOT_TEXT = b"\xff"
"""The JSON of a row whose text is not UTF-8: neither is it, and its format says so."""
NOT_DOWNLOADED = (
    "{key} has pictures as paths or URLs, {name:.80}; lodepack does not download: "
    "write their bytes into the column, for example with img2dataset"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that are read, by what they are."""

    pictures: str | None
    """Of pictures: `images`, which is a list, or `image`."""
    talks: tuple[str, ...]
    caption: str | None

    @property
    def names(self) -> list[str]:
        return [*([self.pictures] if self.pictures else []), *self.talks, *([self.caption] if self.caption else [])]


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a row, its bytes still in Arrow's memory."""

    name: str
    """Its field, such as 0.jpg or jpg."""
    values: pa.Array
    place: int

    @property
    def size(self) -> int:
        return int(self.values[self.place].as_buffer().size)

    def data(self) -> bytes:
        return bytes(self.values[self.place].as_buffer().to_pybytes())


def layout_of(schema: pa.Schema) -> Layout | None:
    """The layout of a file, or None if it has no column that a sample could be made of."""

    def first(names: tuple[str, ...], fit: Callable[[pa.DataType], bool]) -> str | None:
        return next((name for name in names if schema.names.count(name) == 1 and fit(schema.field(name).type)), None)

    pictures = first((PICTURES,), lambda kind: is_listed(kind) and _holds_pictures(kind.value_type))
    pictures = pictures or first((PICTURE,), _holds_pictures)
    talks = tuple(name for name in TALKS if first((name,), is_listed))
    caption = None if talks else first(CAPTIONS, _is_text)
    return Layout(pictures, talks, caption) if pictures or talks else None


def describe(schema: pa.Schema) -> str:
    """Every column with its type, as far as that is not in another."""
    return ", ".join(f"{field.name}: {_of(field.type)}" for field in schema)


def cells_of(row: pa.RecordBatch, layout: Layout, most: int) -> list[Cell | str | None]:
    """The pictures of a batch of one row, by place: a cell, what stands there instead of one, or nothing.

    most: of a longer list one more than these, which is enough to tell.
    """
    if layout.pictures is None:
        return []
    column = row.column(layout.pictures)
    is_list = layout.pictures == PICTURES
    values = column.flatten() if is_list else column
    data, paths = _fields(values)
    return [_cell(data, paths, i, f"{i}." if is_list else "") for i in range(min(len(values), most + 1))]


def is_listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def json_of(row: pa.RecordBatch, layout: Layout, cells: list[Cell | str | None]) -> bytes:
    """The JSON of a batch of one row."""
    try:
        said: dict[str, Any] = {name: row.column(name)[0].as_py() for name in layout.talks}
    except UnicodeDecodeError:
        return NOT_TEXT
    if layout.pictures == PICTURES:
        names = [cell.name if isinstance(cell, Cell) else cell for cell in cells]
        said[PICTURES] = names if row.column(PICTURES)[0].is_valid else None
    # What JSON has no word for, such as a date, is no text of a sample.
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), default=lambda _: None).encode(
        "utf-8", "replace"
    )


def text_bytes(row: pa.RecordBatch, layout: Layout) -> int:
    """No more than the JSON of these rows has, without making it: those of its texts, 1 for whatever else it has."""
    return sum(_text_bytes(row.column(name)) for name in layout.talks)


def _text_bytes(values: pa.Array) -> int:
    kind = values.type
    if is_listed(kind):
        inner = values.flatten()
        return len(inner) + _text_bytes(inner)
    if pa.types.is_struct(kind):
        return sum(map(_text_bytes, values.flatten()))
    if not _is_text(kind):
        return len(values)
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(values.dictionary)
        return int(pc.sum(lengths.take(values.indices)).as_py() or 0)
    return int(pc.sum(pc.binary_length(values)).as_py() or 0)


def bytes_at(values: pa.Array, place: int) -> bytes | None:
    """The bytes of a text or a picture; None where it is null."""
    values, place = _direct(values, place)
    return bytes(values[place].as_buffer().to_pybytes()) if place >= 0 else None


def _fields(values: pa.Array) -> tuple[pa.Array | None, ...]:
    """The bytes and the paths of pictures."""
    if not pa.types.is_struct(values.type):
        return (None, values) if _is_text(values.type) else (values, None)
    named = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    return tuple(named.get(name) for name in FIELDS)


def _is_text(kind: pa.DataType) -> bool:
    return _of(kind) in {pa.string(), pa.large_string()}


def _holds_pictures(kind: pa.DataType) -> bool:
    """Whether values of a type are pictures, say where they are, or are all null and so of no other type."""
    fields = [(field.name, field.type) for field in kind] if pa.types.is_struct(kind) else [("bytes", kind)]
    pictures = {pa.binary(), pa.large_binary(), pa.null()}
    held = [_of(kind) in pictures or _is_text(kind) for name, kind in fields if name in FIELDS]
    return bool(held) and all(held)


def _of(kind: pa.DataType) -> pa.DataType:
    """The type of values, in a dictionary or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _cell(data: pa.Array | None, paths: pa.Array | None, place: int, number: str) -> Cell | str | None:
    if data is not None:
        values, found = _direct(data, place)
        if found >= 0:
            return Cell(f"{number}{_extension(values[found].as_buffer())}", values, found)
    path = None if paths is None else bytes_at(paths, place)
    return None if path is None else path.decode("utf-8", "replace")


def _direct(values: pa.Array, place: int) -> tuple[pa.Array, int]:
    """Where a value of an array, or of the dictionary behind it, is; -1 where it is null."""
    if not values[place].is_valid:
        return values, -1
    if not pa.types.is_dictionary(values.type):
        return values, place
    index = values.indices[place].as_py()
    if not 0 <= index < len(values.dictionary):
        raise IndexError(f"value {index} of {len(values.dictionary)} in a dictionary")
    return (values.dictionary, index) if values.dictionary[index].is_valid else (values, -1)


def _extension(data: pa.Buffer) -> str:
    head = data.slice(0, min(16, data.size)).to_pybytes()
    return next((name for magic, name in MAGIC if head.startswith(magic)), "jpg")

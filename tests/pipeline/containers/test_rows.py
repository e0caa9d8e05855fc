"""Shards of Parquet rows: three layouts, places that fetching understands, and damage that costs no other row."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reading import LIMITS, fates, parquet, read
from unread import row_of

from pipeline.containers import batches
from pipeline.containers.fetching import PicturePlace, fetch
from pipeline.errors import StorageError
from pipeline.formats import FORMATS
from pipeline.read import WHOLE, locate_members
from tests.fuzz.bombs import plain, saved

PICTURES = [saved(plain(), form) for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
JPEG, PNG = PICTURES[:2]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
BINARY, TEXTS = pa.binary(), pa.list_(pa.string())
INVALID = "parquet-invalid"


def obelics(rows: list[tuple[Any, Any]], kind: pa.DataType = BINARY) -> pa.Table:
    """Rows of (texts, images), and a column that nobody reads."""
    texts, images = ([row[i] for row in rows] for i in (0, 1))
    if kind == STRUCT:
        images = [found and [one and {"bytes": one, "path": None} for one in found] for found in images]
    return pa.table({"texts": pa.array(texts, TEXTS), "images": pa.array(images, pa.list_(kind)), "metadata": texts})


def documents(count: int) -> list[tuple[Any, Any]]:
    """Documents of a text and two pictures each, of noise that nothing packs."""
    noise = random.Random(7)
    return [([f"text {i}", None, None], [None, JPEG + noise.randbytes(999), PNG]) for i in range(count)]


def members(data: bytes, form: str, ordinals: Any) -> list[tuple[str, list[tuple[str, bytes]]]]:
    """(key, members) of rows of a shard, every member with its bytes."""
    options = {"shard_name": "a.parquet", "format": FORMATS[form], "ordinals": ordinals, "limits": WHOLE}
    found = locate_members(io.BytesIO(data), len(data), **options)
    return [(row.key, [(one.name, one.data or b"") for one in row.members]) for row in found]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), STRUCT])
def test_an_obelics_row_is_a_document_whose_pictures_are_named_by_their_place(kind: pa.DataType) -> None:
    found = [None, *PICTURES]
    rows = read(parquet(obelics([(["a", *[None] * 6], found), (["b"], [None])], kind)), "a.parquet", "interleaved")
    assert fates(rows) == [("00000000", None), ("00000001", None)]
    assert [segment["member"] for segment in rows[0]["segments"]] == [
        "00000000.json",
        *(f"00000000.{i}.{name}" for i, name in enumerate(["jpg", "png", "webp", "gif", "bmp", "tiff"], start=1)),
    ]
    assert rows[0]["payloads"] == PICTURES
    assert [segment["encoding"] for segment in rows[0]["segments"]] == [None, *["cell"] * 6]
    assert [segment["size"] for segment in rows[0]["segments"][1:]] == list(map(len, PICTURES))


def test_documents_without_any_picture_pass_though_their_column_has_no_type() -> None:
    """A table made of Python lists of None has a column of nulls."""
    table = pa.table({"texts": [["a"], ["b", "c"]], "images": [[None], [None, None]]})
    assert table.schema.field("images").type.value_type == pa.null()
    rows = read(parquet(table), "a.parquet", "interleaved")
    assert [[segment["text"] for segment in row["segments"]] for row in rows] == [["a"], ["b", "c"]]


def test_half_broken_rows_are_rejected_one_by_one() -> None:
    rows = read(
        parquet(
            obelics(
                [
                    (["sound", None], [None, JPEG]),
                    (None, None),
                    (["a", None], [None]),
                    ([None], [JPEG, PNG]),
                    ([None, None], [None, None]),
                    (["both"], [JPEG]),
                    ([], []),
                    (["x" * 3000], [None]),
                    ([None] * 60, [JPEG] * 60),
                    ([None], [bytes(100_001)]),
                    ([None], [b"no picture"]),
                    (["sound", None], [None, PNG]),
                ]
            ),
            row_group_size=5,
        ),
        "a.parquet",
        "interleaved",
    )
    reasons = [reason for _, reason in fates(rows)]
    assert reasons == [
        None,
        *["field-invalid"] * 6,
        "text-too-large",
        "sample-too-large",
        "member-too-large",
        None,  # decode says what is no picture
        None,
    ]
    offsets = [(row["rejection"] or row["segments"][0])["offset"] for row in rows]
    assert [len(set(offsets[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
    assert len(set(offsets)) == 3


def test_pictures_that_are_urls_are_missing_and_the_reason_says_how_to_go_on() -> None:
    table = pa.table({"texts": pa.array([[None], ["t"]], TEXTS), "images": [["http://h/a.jpg?secret"], [None]]})
    rows = read(parquet(table), "a.parquet", "interleaved")
    assert fates(rows) == [("00000000", "field-missing"), ("00000001", None)]
    detail = rows[0]["rejection"]["detail"]
    assert "http://h/a.jpg; lodepack does not download: write their bytes into the column" in detail
    paths = pa.table({"image": pa.array([{"bytes": None, "path": "a.jpg"}], STRUCT), "caption": ["c"]})
    (row,) = read(parquet(paths), "a.parquet", "pairs")
    assert "lodepack does not download" in row["rejection"]["detail"]


def test_pairs_written_by_datasets_are_read(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (20 + i, 10), (i, 0, 0)) for i in range(3)]
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    made = datasets.Dataset.from_dict({"image": pictures, "text": ["one", "two", None]}, features)
    made.to_parquet(str(tmp_path / "a.parquet"))
    rows = read((tmp_path / "a.parquet").read_bytes(), "a.parquet", "pairs")
    assert fates(rows) == [("00000000", None), ("00000001", None), ("00000002", "field-missing")]
    assert [segment["member"] for segment in rows[0]["segments"]] == ["00000000.png", "00000000.txt"]
    assert Image.open(io.BytesIO(rows[1]["payloads"][0])).size == (21, 10)
    assert rows[1]["segments"][1]["text"] == "two"


def test_conversations_with_a_list_of_pictures_are_read() -> None:
    turns = [{"from": "human", "value": "<image>What? <image>"}, {"from": "gpt", "value": "That."}]
    table = pa.table({"images": pa.array([[JPEG, PNG], [JPEG]], pa.list_(pa.binary())), "conversations": [turns] * 2})
    rows = read(parquet(table), "a.parquet", "conversations")
    assert fates(rows) == [("00000000", None), ("00000001", "field-missing")]
    assert rows[0]["payloads"] == [JPEG, PNG]


def test_columns_that_no_sample_can_be_made_of_are_named() -> None:
    (row,) = read(parquet(pa.table({"url": ["a"], "images": [1]})), "a.parquet", "pairs")
    assert row["rejection"]["reason"] == "field-missing"
    assert "the columns are url: string, images: int64; expected" in row["rejection"]["detail"]


def test_text_that_is_not_utf_8_is_said_of_its_row_alone() -> None:
    data = parquet(obelics([(["sound"], [None]), (["marked"], [None])]), use_dictionary=False, compression="none")
    rows = read(data.replace(b"marked", b"mark\xff\xfe"), "a.parquet", "interleaved")
    assert fates(rows) == [("00000000", None), ("00000001", "text-invalid")]


@pytest.mark.parametrize("cut", [0, 3, 100, -1, -9, -200])
def test_a_file_whose_footer_is_gone_is_one_damage(cut: int) -> None:
    data = parquet(obelics(documents(3)))[: cut or None] if cut else b""
    (row,) = read(data, "a.parquet", "interleaved")
    assert (row["key"], row["rejection"]["reason"]) == ("@0", INVALID)
    assert (row["rejection"]["offset"], row["rejection"]["size"]) == (0, len(data))


def test_a_row_group_that_cannot_be_read_is_one_damage_and_every_other_row_is_there() -> None:
    data = bytearray(parquet(obelics(documents(30)), row_group_size=10, compression="zstd", write_page_checksum=True))
    whole = read(bytes(data), "a.parquet", "interleaved")
    begin = whole[10]["segments"][0]["offset"]
    data[begin + 3000] ^= 1
    rows = read(bytes(data), "a.parquet", "interleaved")
    keys = [row["key"] for row in whole]
    assert [row["key"] for row in rows] == [*keys[:10], f"@{begin}", *keys[20:]]
    (why,) = [row["rejection"] for row in rows if row["rejection"]]
    assert why["reason"] == INVALID
    assert why["detail"].startswith("row group 1 cannot be read from row 10 on")
    assert begin + why["size"] == whole[20]["segments"][0]["offset"]


def test_whatever_byte_is_flipped_build_and_verify_agree() -> None:
    chance = random.Random(3)
    data = parquet(obelics(documents(12)), row_group_size=4, write_page_checksum=True, compression="none")
    footer = len(data) - int.from_bytes(data[-8:-4], "little") - 8
    reasons: set[str] = set()
    for _ in range(25):
        flipped = bytearray(data)
        place = chance.randrange(footer - 1000, len(data))
        flipped[place] ^= 1 << chance.randrange(8)
        reasons |= {reason for _, reason in fates(read(bytes(flipped), "a.parquet", "interleaved")) if reason}
    assert INVALID in reasons


def test_a_billion_rows_in_a_small_file_are_one_damage() -> None:
    (row,) = read(parquet(obelics([(["t"], [None])] * 50_000)), "a.parquet", "interleaved")
    assert row["rejection"]["reason"] == INVALID
    assert "50000 rows and 50000 values, more than the file has bytes" in row["rejection"]["detail"]


def test_a_row_group_that_unpacks_to_too_much_is_one_damage_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr("jobs.verify.rows.MOST_UNPACKED", 1 << 20)
    table = obelics([([None], [bytes(3 << 20)]), (["after"], [None])])
    rows = read(parquet(table, row_group_size=1, compression="zstd"), "a.parquet", "interleaved")
    assert [reason for _, reason in fates(rows)] == [INVALID, None]
    assert "write row groups of fewer rows" in rows[0]["rejection"]["detail"]


def test_a_picture_that_one_row_names_a_hundred_thousand_times_is_in_memory_once() -> None:
    table = obelics([([None] * 100_000, [bytes(1 << 20)] * 1)])
    index = pa.array([0] * 100_000, pa.int32())
    cells = pa.DictionaryArray.from_arrays(index, pa.array([random.Random(1).randbytes(1 << 20)], pa.binary()))
    images = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), cells)
    data = parquet(table.set_column(1, "images", images), compression="none")
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)  # the usual one has the peak of whatever ran before in this process
    pa.set_memory_pool(counted)
    try:
        (row,) = read(data, "a.parquet", "interleaved", LIMITS.model_copy(update={"max_member_bytes": 2 << 20}))
    finally:
        pa.set_memory_pool(usual)
    assert row["rejection"]["reason"] == "sample-too-large"
    assert 1 << 20 < counted.max_memory() < 400 << 20


def test_pictures_are_fetched_from_their_places_and_a_changed_shard_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(obelics(documents(30)), row_group_size=7))
    rows = read(path.read_bytes(), "a.parquet", "interleaved")
    chosen = [rows[i] for i in (29, 3, 8, 9)]
    places = [PicturePlace(*(one[name] for name in PicturePlace._fields)) for row in chosen for one in row["segments"]]
    pictures = [place for place in places if place.encoding == "cell"]
    assert fetch(str(path), pictures) == [data for row in chosen for data in row["payloads"]]
    path.write_bytes(parquet(obelics(documents(9)), row_group_size=7))
    with pytest.raises(StorageError, match=r"00000029\.1\.jpg is another one than when it was read"):
        fetch(str(path), pictures)
    path.write_bytes(b"gone")
    with pytest.raises(StorageError, match="the shard changed while it was read"):
        fetch(str(path), pictures)


def test_base64_in_a_shard_is_decoded_strictly(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "/9j/"}\n{"a": "?9j/"}\n')
    url = str(tmp_path / "a.jsonl")
    assert fetch(url, [PicturePlace("m", 7, 4, "base64"), PicturePlace("m", 7, 4, None)]) == [b"\xff\xd8\xff", b"/9j/"]
    with pytest.raises(StorageError, match="another one"):
        fetch(url, [PicturePlace("m", 21, 4, "base64")])


@pytest.mark.parametrize("kind", [pa.binary(), STRUCT])
def test_rows_come_back_from_the_members_that_they_became(kind: pa.DataType) -> None:
    found = [*documents(3), (["only text"], [None]), ([None, "ü"], [PNG, None])]
    read_back = [row_of(*one) for one in members(parquet(obelics(found, kind)), "interleaved", range(9))]
    assert [(row["texts"], row["images"]) for row in read_back] == found
    again = parquet(pa.Table.from_pylist(read_back, pa.schema([("texts", TEXTS), ("images", pa.list_(pa.binary()))])))
    assert pq.read_table(io.BytesIO(again)).equals(obelics(found).select(["texts", "images"]))
    pair = pa.table({"image": [JPEG], "text": ["t"]})
    assert [row_of(*one) for one in members(parquet(pair), "pairs", [0])] == pair.to_pylist()

"""Damage of every kind is rejected with its reason and place, and nothing else is lost."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support import build, write_shard

PATIENT = "limits.max_reject_ratio=1"


def picture(number: int, kind: str = "PNG", size: tuple[int, int] = (120, 90)) -> bytes:
    image = Image.new("RGB", size, (number * 37 % 256, 90, 160))
    image.paste((255, 255, 0), (10, 10, 40 + number % 20, 60))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def members(count: int) -> dict[str, bytes]:
    """`count` documents of one text and one picture: two members each."""
    found = {}
    for number in range(count):
        index = {"texts": [f"Page {number} shows a box.", None], "images": [None, "0.png"]}
        found[f"{number:04d}.json"] = json.dumps(index).encode()
        found[f"{number:04d}.0.png"] = picture(number)
    return found


def run(folder: Path, shard: bytes, *overrides: str) -> tuple[dict[str, Any], list[dict[str, Any]], set[str]]:
    """Builds one shard of these bytes; the summary, the rejects of level sample, and the keys that were packed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s-000000.tar").write_bytes(shard)
    summary = build(folder / "out", str(folder / "s-000000.tar"), PATIENT, "sequence_length=1024", *overrides)
    rows = [row for path in (folder / "out" / "rejects").iterdir() for row in pq.read_table(path).to_pylist()]
    packed = {
        sample["id"]["key"]
        for path in (folder / "out" / "data").iterdir()
        for row in pq.read_table(path, columns=["samples"]).to_pylist()
        for sample in row["samples"]
    }
    counts = summary["totals"]["samples"]
    assert counts["read"] == counts["packed"] + counts["rejected"]
    assert counts["packed"] == len(packed)
    return summary, [row for row in rows if row["level"] == "sample"], packed


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_shard(tmp_path_factory.mktemp("sound") / "s.tar", members(6)).read_bytes()


KEYS = {f"{number:04d}" for number in range(6)}
HEADER = 512


def header_of(shard: bytes, name: str) -> int:
    return shard.index(name.encode() + b"\0")


def test_a_cut_at_a_header_border_is_named_and_all_before_it_is_packed(sound: bytes, tmp_path: Path) -> None:
    cut = header_of(sound, "0003.json")
    _, rejects, packed = run(tmp_path, sound[:cut])
    assert packed == {"0000", "0001", "0002"}
    assert [(row["reason"], row["offset"]) for row in rejects] == [("tar-truncated", cut)]


def test_a_cut_inside_a_header_is_named(sound: bytes, tmp_path: Path) -> None:
    cut = header_of(sound, "0003.json")
    _, rejects, packed = run(tmp_path, sound[: cut + 100])
    assert packed == {"0000", "0001", "0002"}
    assert [(row["reason"], row["offset"]) for row in rejects] == [("tar-truncated", cut)]


def test_a_flipped_byte_in_a_header_costs_that_document_alone(sound: bytes, tmp_path: Path) -> None:
    place = header_of(sound, "0003.json")
    damaged = bytearray(sound)
    damaged[place + 130] ^= 0xFF
    _, rejects, packed = run(tmp_path, bytes(damaged))
    assert packed == KEYS - {"0003"}
    assert {row["reason"] for row in rejects} == {"tar-header", "field-missing"}
    assert place in {row["offset"] for row in rejects}


def test_a_zeroed_header_costs_that_document_alone(sound: bytes, tmp_path: Path) -> None:
    place = header_of(sound, "0003.json")
    _, rejects, packed = run(tmp_path, sound[:place] + bytes(HEADER) + sound[place + HEADER :])
    assert packed == KEYS - {"0003"}
    assert ("tar-header", place) in {(row["reason"], row["offset"]) for row in rejects}


def test_two_concatenated_archives_are_both_read(sound: bytes, tmp_path: Path) -> None:
    second = write_shard(tmp_path / "second.tar", {k.replace("000", "100"): v for k, v in members(3).items()})
    _, rejects, packed = run(tmp_path, sound + second.read_bytes())
    assert packed == KEYS | {"1000", "1001", "1002"}
    assert rejects == []


def test_a_flipped_byte_in_a_picture_costs_that_document_alone(sound: bytes, tmp_path: Path) -> None:
    damaged = bytearray(sound)
    data = header_of(sound, "0003.0.png") + HEADER
    damaged[data + len(picture(3)) // 2] ^= 0x01
    _, (reject,), packed = run(tmp_path, bytes(damaged))
    assert packed == KEYS - {"0003"}
    assert (reject["reason"], reject["member"], reject["offset"]) == ("decode-error", "0003.0.png", data)


def test_a_cut_inside_data_is_named_and_all_before_it_is_packed(sound: bytes, tmp_path: Path) -> None:
    cut = header_of(sound, "0003.0.png") + HEADER + 50
    _, rejects, packed = run(tmp_path, sound[:cut])
    assert packed == {"0000", "0001", "0002"}
    assert {row["reason"] for row in rejects} == {"tar-truncated", "field-missing"}


def documents_with(tmp_path: Path, name: str, data: bytes) -> bytes:
    """Six sound documents, the third of which has its picture replaced."""
    found = members(6)
    index = {"texts": ["Page 2.", None], "images": [None, name]}
    parts = {key: value for key, value in found.items() if key.startswith(("0000", "0001"))}
    parts |= {"0002.json": json.dumps(index).encode(), f"0002.{name}": data}
    parts |= {key: value for key, value in found.items() if key > "0003"}
    return write_shard(tmp_path / "made.tar", parts).read_bytes()


@pytest.mark.parametrize(
    ("mode", "operator"),
    [
        ((), "decode"),
        (("score=null", "budget=none"), "write"),
        (("score=null", "budget=none", "pixels=none"), "decode"),
    ],
)
def test_a_truncated_jpeg_is_rejected_whoever_decodes_it(tmp_path: Path, mode: tuple[str, ...], operator: str) -> None:
    noise = Image.effect_noise((300, 200), 60).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG")
    half = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    _, (reject,), packed = run(tmp_path, documents_with(tmp_path, "0.jpg", half), *mode)
    assert packed == KEYS - {"0002"}
    assert (reject["reason"], reject["operator"], reject["member"]) == ("decode-error", operator, "0002.0.jpg")


def test_a_picture_of_65000_by_65000_is_rejected_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    _, (reject,), packed = run(tmp_path, documents_with(tmp_path, "0.png", bomb))
    assert packed == KEYS - {"0002"}
    assert reject["reason"] == "image-too-large"
    assert "65000x65000" in reject["detail"]


class Planted:
    """Its pickle would create a file when loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (open, (str(self._path), "w"))


def test_a_pickle_is_rejected_and_never_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    parts = members(6) | {"0005.pkl": pickle.dumps(Planted(trap))}
    shard = write_shard(tmp_path / "made.tar", parts).read_bytes()
    _, (reject,), packed = run(tmp_path, shard)
    assert packed == KEYS - {"0005"}
    assert (reject["reason"], reject["member"]) == ("unsafe-type", "0005.pkl")
    assert not trap.exists()


def test_each_segment_of_a_rejected_document_is_named(tmp_path: Path) -> None:
    run(tmp_path, documents_with(tmp_path, "0.png", b"no picture"))
    (path,) = (tmp_path / "out" / "rejects").iterdir()
    rows = [row for row in pq.read_table(path).to_pylist() if row["level"] == "segment"]
    assert [(row["segment"], row["reason"]) for row in rows] == [(0, "sample-rejected"), (1, "format-not-allowed")]


def test_too_many_rejects_fail_the_job_with_reasons_and_examples(tmp_path: Path) -> None:
    from pipeline.errors import StorageError

    shard = write_shard(tmp_path / "s-000000.tar", {**members(2), "0001.0.png": b"no picture"})
    with pytest.raises(StorageError, match=r"1 of 2 samples were rejected \(format-not-allowed 1; for example .*0001"):
        build(tmp_path / "out", str(shard))
    assert not (tmp_path / "out" / "versions").exists()

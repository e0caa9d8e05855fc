"""Half-broken documents of every format are rejected one by one, with reason and place; their neighbours stay."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.formats import FORMATS
from pipeline.read import read_shard
from pipeline.types import ReadLimits
from tests.formats_made import MAKERS, Members, as_json, made
from tests.support import write_shard

LIMITS = ReadLimits(1 << 20, 1 << 20, 1 << 20, 1000)


def rows_of(path: Path, name: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of a shard, and where the data of each member begins."""
    data = path.read_bytes()
    options = {"shard_name": "s", "unit": 0, "shard_number": 0, "limits": LIMITS, "take": None}
    *rows, _ = pa.concat_tables(read_shard(io.BytesIO(data), len(data), format=FORMATS[name], **options)).to_pylist()
    with tarfile.open(path) as archive:
        return rows, {member.name: member.offset_data for member in archive}


def edit(files: Members, member: str, change: Any) -> Members:
    """The same members, one JSON changed: fields put over it, or a function of it."""
    value = json.loads(files[member])
    return files | {member: as_json(change(value) if callable(change) else value | change)}


def without(files: Members, *names: str) -> Members:
    assert set(names) <= files.keys()
    return {name: data for name, data in files.items() if name not in names}


def put(*path: Any) -> Any:
    """A change of a JSON: the last of `path` is put at the place that the others lead to."""

    def change(value: Any) -> Any:
        place = value
        for step in path[:-2]:
            place = place[step]
        place[path[-2]] = path[-1]
        return value

    return change


MISSING, INVALID, TEXT = "field-missing", "field-invalid", "text-invalid"
CASES = [
    ("interleaved", lambda f: without(f, "0000.0.png"), MISSING, "0000.json", "image 1"),
    ("interleaved", lambda f: without(f, "0000.json"), MISSING, "0000.0.png", "has no json"),
    ("interleaved", lambda f: edit(f, "0000.json", {"images": [None] * 4}), INVALID, "0000.json", "3 texts and 4"),
    ("interleaved", lambda f: edit(f, "0000.json", put("images", 1, "7.png")), MISSING, "0000.json", "7.png"),
    ("conversations", lambda f: without(f, "0000.1.jpg"), MISSING, "0000.json", "3 <image> and 0000 has 2"),
    ("conversations", lambda f: f | {"0000.3.jpg": b"x"}, INVALID, "0000.json", "3 <image> and 0000 has 4"),
    ("mmc4", lambda f: without(f, "0001.b9040a.png"), MISSING, "0001.json", "0001.b9040a.png is not there"),
    (
        "mmc4",
        lambda f: edit(f, "0001.json", put("image_info", 0, "matched_text_index", 2)),
        INVALID,
        "0001.json",
        "2 of 2",
    ),
    (
        "mmc4",
        lambda f: edit(f, "0001.json", put("image_info", 1, "matched_text_index", -1)),
        INVALID,
        "0001.json",
        "-1",
    ),
    (
        "mmc4",
        lambda f: edit(f, "0000.json", {"similarity_matrix": [[0.1, 0.2]]}),
        INVALID,
        "0000.json",
        "2 images by 3",
    ),
    ("mmc4", lambda f: edit(f, "0000.json", {"similarity_matrix": None}), MISSING, "0000.json", "no similarity_matrix"),
    ("mmc4", lambda f: edit(f, "0000.json", {"text_list": []}), INVALID, "0000.json", "at least one text"),
    (
        "mmc4",
        lambda f: edit(f, "0000.json", put("image_info", 0, "image_base64", "AAA")),
        INVALID,
        "0000.json",
        "image 0",
    ),
    (
        "mmc4",
        lambda f: f | {"0000.json": f["0000.json"].replace(b"/", b"\\/")},
        INVALID,
        "0000.json",
        "of 0000.json is not written as base64, without escapes",
    ),
    ("comm", lambda f: without(f, "0000.b.png"), MISSING, "0000.json", "0000.b.png is not there"),
    ("comm", lambda f: edit(f, "0000.json", {"step_info": []}), INVALID, "0000.json", "at least one step"),
    (
        "comm",
        lambda f: edit(f, "0000.json", put("step_info", 1, 0, "content", None)),
        INVALID,
        "0000.json",
        "part 0 of step 2",
    ),
    (
        "comm",
        lambda f: edit(f, "0000.json", put("step_info", 0, 1, "type", "video")),
        INVALID,
        "0000.json",
        "part 1 of step 1",
    ),
    ("energon", lambda f: without(f, "sample_000001.2345ew.jpg"), MISSING, "sample_000001.json", "image 1"),
    (
        "energon",
        lambda f: edit(f, "sample_000001.json", put("images", 0, "a.jpg")),
        INVALID,
        "sample_000001.json",
        "place 0",
    ),
    ("energon", lambda f: without(f, "sample_000002.b.png"), MISSING, "sample_000002.json", "b.png is not there"),
    (
        "energon",
        lambda f: edit(f, "sample_000002.json", {"matched_text_indices": [0, 3]}),
        INVALID,
        "sample_000002.json",
        "sentence 3 of 3",
    ),
    ("frames", lambda f: without(f, "clip0.001.jpg"), MISSING, "clip0.txt", "clip0.001 is not there"),
    ("frames", lambda f: without(f, "clip0.txt"), MISSING, "clip0.000.jpg", "has no text"),
    ("frames", lambda f: f | {"clip1.1.jpg": b"x"}, INVALID, "clip1.1.jpg", "both frame 1"),
    ("frames", lambda f: f | {"clip1.jpg": b"x"}, INVALID, "clip1.jpg", "no number"),
    ("frames", lambda f: edit(f, "clip1.json", {"caption": 3}), INVALID, "clip1.json", "no text"),
    ("pairs", lambda f: without(f, "000000000.jpg"), MISSING, "000000000.json", "no members for its image"),
    ("pairs", lambda f: without(f, "000000002.txt"), MISSING, "000000002.png", "has no text"),
    ("pairs", lambda f: edit(f, "000000001.json", {"caption": None}), MISSING, "000000001.json", "no caption"),
    ("pairs", lambda f: edit(f, "000000001.json", {"caption": ["a"]}), INVALID, "000000001.json", "is no text"),
    ("pairs", lambda f: f | {"000000000.txt": b"\xff"}, TEXT, "000000000.txt", "not UTF-8"),
    ("text", lambda f: f | {"a.txt": b"\xff"}, TEXT, "a.txt", "not UTF-8"),
    ("text", lambda f: edit(f, "b.json", {"text": None}), MISSING, "b.json", "no text"),
    ("text", lambda f: f | {"b.0.jpg": b"x"}, INVALID, "b.0.jpg", "no place for it"),
    ("text", lambda f: f | {"b.jpg": b"x"}, INVALID, "b.jpg", "is a picture"),
]


@pytest.mark.parametrize(("name", "harm", "reason", "member", "detail"), CASES, ids=range(len(CASES)))
def test_half_broken_document_is_rejected_with_its_place_and_no_other_is(
    name: str, harm: Any, reason: str, member: str, detail: str, tmp_path: Path
) -> None:
    files = dict(sorted(harm(made(name)).items()))
    rows, places = rows_of(write_shard(tmp_path / "s.tar", files), name)
    rejected = [row["rejection"] for row in rows if row["rejection"] is not None]
    assert [(one["reason"], one["member"], one["offset"], one["size"]) for one in rejected] == [
        (reason, member, places[member], len(files[member]))
    ]
    assert detail in rejected[0]["detail"]
    assert len(rows) > 1


OF_ONE_MEMBER = {"text"}
"""Formats of which no sample has a second member that could stand apart."""


def nulled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: nulled(one) for name, one in value.items()}
    return [nulled(one) for one in value] if isinstance(value, list) else None


@pytest.mark.parametrize("name", MAKERS)
def test_null_everywhere_is_rejected_where_it_stands(name: str, tmp_path: Path) -> None:
    files = {
        member: as_json(nulled(json.loads(data))) if member.endswith(".json") else data
        for member, data in made(name).items()
        if not member.endswith(".txt")
    }
    rows, places = rows_of(write_shard(tmp_path / "s.tar", files), name)
    assert rows
    for row in rows:
        assert row["rejection"]["reason"] in {MISSING, INVALID}
        assert row["rejection"]["offset"] == places[row["rejection"]["member"]]


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in OF_ONE_MEMBER])
def test_samples_that_stand_in_each_other_are_rejected_where_they_go_on(name: str, tmp_path: Path) -> None:
    """One member of each in turn; what comes after a sample has ended is of none."""
    groups: dict[str, list[str]] = {}
    files = made(name)
    for member in files:
        groups.setdefault(member.partition(".")[0], []).append(member)
    one, other, *_ = sorted(groups.values(), key=len, reverse=True)
    mixed = [member for pair in zip(one, other, strict=False) for member in pair] + one[len(other) :]
    rows, places = rows_of(write_shard(tmp_path / "s.tar", {member: files[member] for member in mixed}), name)
    reasons = [row["rejection"]["reason"] if row["rejection"] else None for row in rows]
    assert reasons.count("sample-split") >= 1
    for row in rows:
        if row["rejection"] is not None:
            assert row["rejection"]["offset"] == places[row["rejection"]["member"]]
            assert row["rejection"]["member"].startswith(row["key"])

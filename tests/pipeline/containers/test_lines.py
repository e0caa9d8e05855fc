"""Shards of JSON lines: every line that is not blank is a sample, and a long one costs no memory."""

from __future__ import annotations

import io
import json
import time
import tracemalloc

import pytest
from reading import LIMITS, fates, read

from pipeline.containers import lines
from pipeline.formats import FORMATS
from pipeline.read import PLACES, locate_members, read_shard

SAID = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho, ünïcode"}]})
LINE = SAID.encode()


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_a_line_is_a_sample_of_its_number_and_a_bad_one_says_where_it_is(
    chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
    data = b"\n".join([LINE, b"", b" \t\r", LINE + b"\r", b"no json", b"x" * 2001, b"y" * 100_001, b"\xff", LINE])
    rows = read(data, "a.jsonl", "conversations")
    assert fates(rows) == [
        ("00000000", None),
        ("00000003", None),
        ("00000004", "field-invalid"),
        ("00000005", "text-too-large"),
        ("00000006", "member-too-large"),
        ("00000007", "text-invalid"),
        ("00000008", None),
    ]
    assert [segment["text"] for segment in rows[-1]["segments"]] == ["Hi", "Ho, ünïcode"]
    for row in rows:
        place = row["rejection"] or row["segments"][0]
        number = int(row["key"])
        assert place["member"] == f"{row['key']}.json"
        assert data[place["offset"] : place["offset"] + place["size"]] == data.split(b"\n")[number]
        assert all(segment["encoding"] is None for segment in row["segments"])


def test_the_last_line_needs_no_line_break_and_an_empty_shard_has_no_line() -> None:
    assert [len(read(data, "A.NDJSON", "conversations")) for data in (b"", b"\n\n", LINE, LINE + b"\n")] == [0, 0, 1, 1]


def test_lines_are_located_where_they_are_read() -> None:
    data = b"\n".join([LINE, b"", b"bad", LINE])
    found = list(
        locate_members(
            io.BytesIO(data), len(data), shard_name="a.jsonl", format=FORMATS["conversations"], ordinals={1, 2}
        )
    )
    assert PLACES.member_bytes == 0
    assert [(row.ordinal, row.key, row.members[0].offset, row.members[0].data) for row in found] == [
        (1, "00000002", len(LINE) + 2, None),
        (2, "00000003", len(LINE) + 6, None),
    ]


class Long(io.RawIOBase):
    """A line of so many bytes, made as it is read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return b"x" * size


def test_a_line_of_300_megabytes_is_one_rejection_in_constant_memory() -> None:
    size = 300 << 20
    tracemalloc.start()
    options = {"shard_name": "a.jsonl", "unit": 0, "shard_number": 0, "format": FORMATS["conversations"], "take": None}
    (table,) = read_shard(Long(size), size, limits=LIMITS.reading, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    row = table.to_pylist()[0]
    assert (row["rejection"]["reason"], row["rejection"]["size"]) == ("member-too-large", size)
    assert peak < 16 << 20


def test_a_line_that_comes_in_many_pieces_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied with each of its 131,072 pieces, the line would be 137 GB, which takes a minute."""
    monkeypatch.setattr(lines, "CHUNK_BYTES", 16)
    line = json.dumps({"text": "A sentence.", "note": "x" * (2 << 20)}).encode()
    limits = LIMITS.model_copy(
        update={"max_text_bytes": 4 << 20, "max_member_bytes": 4 << 20, "max_sample_bytes": 4 << 20}
    )
    options = {"shard_name": "a.jsonl", "unit": 0, "shard_number": 0, "format": FORMATS["text"], "take": None}
    started = time.monotonic()
    row = next(read_shard(io.BytesIO(line), len(line), limits=limits.reading, **options)).to_pylist()[0]
    assert [segment["text"] for segment in row["segments"]] == ["A sentence."]
    assert time.monotonic() - started < 20

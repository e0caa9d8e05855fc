"""What tests of containers share: a shard read by the build and by verify, which must say the same."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.sections import LimitsSection
from jobs.verify.samples import read_samples
from jobs.verify.walk import CHUNK_BYTES, Source
from pipeline.formats import FORMATS
from pipeline.read import count_samples, read_shard

LIMITS = LimitsSection(max_member_bytes=100_000, max_text_bytes=2_000, max_sample_bytes=150_000, max_sample_members=40)
Row = dict[str, Any]


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A file of the table's rows."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def read(data: bytes, name: str, form: str, limits: LimitsSection = LIMITS) -> list[Row]:
    """The rows of a shard, its last not among them, after the checks that hold for every shard."""
    options = {"shard_name": name, "unit": 0, "shard_number": 0, "format": FORMATS[form], "take": None}
    tables = read_shard(io.BytesIO(data), len(data), limits=limits.reading, **options)
    *rows, end = pa.concat_tables(tables).to_pylist()
    assert (end["shard_end"]["rows"], end["shard_end"]["bytes"]) == (len(rows), len(data))
    assert count_samples(io.BytesIO(data), len(data), shard_name=name, format=FORMATS[form]) == len(rows)
    source = Source(io.BytesIO(data))
    found = list(read_samples(source, name, form, limits))
    while source.skip(CHUNK_BYTES):
        pass
    assert (source.offset, source.sha256()) == (len(data), end["shard_end"]["sha256"])
    assert [one.key for one in found] == [row["key"] for row in rows]
    for row, one in zip(rows, found, strict=True):
        why, segments = row["rejection"], row["segments"]
        assert (why is not None) == bool(one.fault), (why, one.fault)
        assert [(s.member, s.offset, s.size) for s in one.segments] == [
            (s["member"], s["offset"], s["size"]) for s in segments
        ]
        assert why is not None or [s.text for s in one.segments] == [s["text"] for s in segments]
        assert why is None or (why["member"], why["offset"], why["size"]) in one.places
    return rows


def fates(rows: list[Row]) -> list[tuple[str, str | None]]:
    """(key, reason) of each row; no reason where it is sound."""
    return [(row["key"], row["rejection"] and row["rejection"]["reason"]) for row in rows]

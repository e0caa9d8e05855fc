"""Energon: the shards of `webdataset` with the indices that megatron-energon reads beside and under `.nv-meta`.

Its own preparation is not called: it draws a random identity, prints, needs every shard on a local disk, and exits the
process on an error. The files it would write are these, bytes and rows, which the tests compare.

dataset.yaml makes samples crude, a dict of members, which a task encoder of one's own cooks:

    class Packs(DefaultTaskEncoder):
        decoder = SampleDecoder(image_decode="rgb8")  # pictures as uint8 [height, width, 3]; None: members as bytes
        cookers = [Cooker(cook)]  # a @stateless function of sample["input_ids.npy"], sample["views.json"] ...

Source: megatron-energon 7.4.1, flavors/webdataset: prepare, itar, indexing, structs.
"""

from __future__ import annotations

import sqlite3
import struct
import tarfile
import uuid
from array import array
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import yaml

from jobs.export.samples import to_json
from jobs.export.shards import ABOUT, Export, Shard
from jobs.export.tars import LAYOUT, write_tars

META = ".nv-meta"
DATASET = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
TABLES = """
CREATE TABLE samples (
  tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
  byte_offset INTEGER, byte_size INTEGER
);
CREATE TABLE sample_parts (
  tar_file_id INTEGER, sample_index INTEGER, part_name TEXT, content_byte_offset INTEGER, content_byte_size INTEGER
);
"""
INDICES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples (tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts (tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
  ON sample_parts (tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""


def write_energon(export: Export) -> list[Shard]:
    """Writes shards, their indices, lodepack.json and, when all are there, .nv-meta/.info.json.

    All samples are in the part `train`.
    """
    target = export.target
    index = target.scratch / "index.sqlite"
    shards = []
    with closing(sqlite3.connect(index)) as database:
        database.executescript(TABLES)
        for number, (shard, path) in enumerate(write_tars(export)):
            target.put_bytes(f"{shard.name}.idx", _index(database, number, path))
            target.put(shard.name, path)
            shards.append(shard)
        database.executescript(INDICES)
    target.put(f"{META}/index.sqlite", index)
    names = [shard.name for shard in shards]
    parts = {"split_parts": {"train": names, "val": [], "test": []}, "exclude": []}
    identity = uuid.uuid5(uuid.NAMESPACE_OID, sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest())
    target.put_bytes(f"{META}/index.uuid", str(identity).encode())
    target.put_bytes(f"{META}/dataset.yaml", yaml.safe_dump(DATASET, sort_keys=False).encode())
    target.put_bytes(f"{META}/split.yaml", yaml.safe_dump(parts, sort_keys=False).encode())
    target.put_bytes(ABOUT, export.about("energon", LAYOUT, shards))
    target.put_bytes(
        f"{META}/.info.json", to_json({"shard_counts": {shard.name: shard.num_samples for shard in shards}})
    )
    return shards


def _index(database: sqlite3.Connection, shard: int, path: Path) -> bytes:
    """Enters a tar's samples and members; gives the .idx of it: where each sample starts and the last ends, uint64."""
    borders = array("Q", [0])
    with tarfile.open(path) as tar:
        for number, (key, members) in enumerate(_samples(tar)):
            last = members[-1]
            borders.append(last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
            sample = (shard, key, number, borders[-2], borders[-1] - borders[-2])
            parts = [
                (shard, number, member.name.removeprefix(f"{key}."), member.offset_data, member.size)
                for member in members
            ]
            database.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", sample)
            database.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", parts)
    database.commit()
    return struct.pack(f"<{len(borders)}Q", *borders)


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    """Keys and their members, one sample in memory; keys have no dot."""
    for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
        yield key, list(members)
        tar.members.clear()  # type: ignore[attr-defined]  # 460 bytes a member, which would grow with the shard

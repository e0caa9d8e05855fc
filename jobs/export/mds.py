"""MDS, the format of mosaicml-streaming, which reads it with `StreamingDataset` and no unsafe type.

Written here: its package needs numpy < 2.2 and transformers < 5, so it does not install beside lodepack.

Source: the formats of MDSWriter and of the encodings `str`, `ndarray`, `json` and `bytes` in mosaicml-streaming 0.13.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from jobs.export.samples import Array, Sample, to_json
from jobs.export.shards import ABOUT, Export, Shard, split
from pipeline import storage
from pipeline.errors import ConfigError

LAYOUT = (
    "A sample is a pack. Columns are those of the packs; views come without their pixels, which stand one after the "
    "other in the column pixels, as bytes from pixels.start, pixels.size_bytes long: a picture, or uint8 values of "
    "the shape pixels.shape."
)
MAX_BYTES = 1 << 32
"""Offsets in a shard are uint32."""


def write_mds(export: Export) -> list[Shard]:
    """Writes shards, lodepack.json and, when all are there, index.json.

    ConfigError for shards, or a pack, of 4 GiB or more.
    """
    if export.shard_bytes >= MAX_BYTES:
        raise ConfigError(f"--shard-size {export.shard_bytes >> 20}: shards of mds are smaller than 4096 MiB")
    encodings = {name: "json" if kind == "json" else f"ndarray:{kind}" for name, kind in export.columns.items()}
    encodings = dict(sorted((encodings | {"pack_id": "str", "pixels": "bytes"}).items()))
    config = {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": ["sha256"],
        "size_limit": export.shard_bytes,
        "column_names": list(encodings),
        "column_encodings": list(encodings.values()),
        "column_sizes": [None] * len(encodings),
    }
    head = to_json(config)
    # A sample costs its offset too; a shard one offset more, the number of samples, and the configuration.
    sized = ((row, len(row) + 4) for row in (_row(sample, list(encodings)) for sample in export.samples))
    shards, entries = [], []
    for number, rows in enumerate(split(sized, export.shard_bytes - len(head) - 8)):
        name = f"shard.{number:05d}.mds"
        path = export.target.scratch / name
        num_samples = _write_shard(path, rows, head)
        shard = Shard(name, num_samples, path.stat().st_size, storage.hash_file(str(path)))
        export.target.put(name, path)
        shards.append(shard)
        raw = {"basename": name, "bytes": shard.num_bytes, "hashes": {"sha256": shard.sha256}}
        entries.append(config | {"raw_data": raw, "samples": shard.num_samples, "zip_data": None})
    export.target.put_bytes(ABOUT, export.about("mds", LAYOUT, shards))
    export.target.put_bytes("index.json", to_json({"version": 2, "shards": entries}))
    return shards


def _write_shard(path: Path, rows: Iterable[bytes], head: bytes) -> int:
    """Number of samples, the offset of each and of the end (uint32), the configuration, the samples; their number.

    The samples wait in a file of their own, because what stands before them is known after the last one.
    """
    waiting = path.with_suffix(".samples")
    with waiting.open("wb") as stream:
        sizes = [stream.write(row) for row in rows]
    offsets = list(accumulate(sizes, initial=4 + 4 * (len(sizes) + 1) + len(head)))
    if offsets[-1] >= MAX_BYTES:
        raise ConfigError(
            f"{path.name} has a pack that makes it {offsets[-1]} bytes; mds holds 4 GiB: export to webdataset"
        )
    with path.open("wb") as shard, waiting.open("rb") as stream:
        shard.write(np.array([len(sizes), *offsets], "<u4").tobytes() + head)
        shutil.copyfileobj(stream, shard, storage.CHUNK_BYTES)
    waiting.unlink()
    return len(sizes)


def _row(sample: Sample, names: Sequence[str]) -> bytes:
    """The sizes of all columns (uint32), then their values, by name."""
    stored: list[bytes] = []
    views: list[Any] = []
    start = 0
    for view, pixels in zip(sample.records["views"], sample.pixels, strict=True):
        if pixels is None:
            views.append(view)
            continue
        place = {"start": start, "size_bytes": len(pixels.data), "shape": list(pixels.shape) or None}
        views.append(view | {"pixels": view["pixels"] | place})
        stored.append(pixels.data)
        start += len(pixels.data)
    values = {name: _ndarray(array) for name, array in sample.arrays.items()}
    values |= {name: to_json(value) for name, value in {**sample.records, "views": views}.items()}
    values |= {"pack_id": sample.key.encode(), "pixels": b"".join(stored)}
    sizes = np.array([len(values[name]) for name in names], "<u4")
    return b"".join([sizes.tobytes(), *(values[name] for name in names)])


def _ndarray(array: Array) -> bytes:
    """Number of axes and type of their lengths in one byte (4 * axes + log2 of its bytes), lengths, values."""
    longest = max(array.shape)
    width = 0 if longest < 1 << 8 else 1 if longest < 1 << 16 else 2
    lengths = np.array(array.shape, f"<u{1 << width}")
    return bytes([4 * array.ndim + width]) + lengths.tobytes() + array.tobytes()

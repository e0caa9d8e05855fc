"""Packs as samples of WebDataset shards, written by the webdataset package."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jobs.export.samples import RAW, Array, Pixels, Sample, to_json
from jobs.export.shards import Export, Shard, split
from pipeline import storage
from pipeline.errors import ConfigError

LAYOUT = (
    "A sample is a pack, its key the pack_id. COLUMN.npy: numbers, shape and type in the file. COLUMN.json: the rest. "
    "view.NNNN.jpg, .png or .webp: the picture of view NNNN of views.json; view.NNNN.npy: its uint8 values, patches "
    "[n, 3, patch, patch] or planes [3, height, width]; views.json names it as pixels.member."
)
BLOCK_BYTES = 512
END_BYTES = 2 * 10_240
"""A tar ends with two empty blocks and is filled up to records of 10,240 bytes."""
EXTENSIONS = {"jpeg": "jpg", "patches": "npy", "planes": "npy"}
"""Of formats that are not their own extension."""

Members = dict[str, Any]
"""The members of a sample by what follows its key, as bytes; and `__key__`."""


def require_webdataset() -> Callable[..., Any]:
    """The writer of tars that the webdataset package has. ConfigError if the package is not installed."""
    try:
        from webdataset import TarWriter  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(f"{error}; install what exports need: pip install 'lodepack[export]'") from error
    writer: Callable[..., Any] = TarWriter
    return writer


def write_tars(export: Export) -> Iterator[tuple[Shard, Path]]:
    """Each finished shard and where it lies; the caller puts it into the target before the next one.

    The same samples give the same bytes: no time, no user, members sorted.
    """
    writer = require_webdataset()
    sized = ((members, _size(members)) for members in map(_members, export.samples))
    for number, shard in enumerate(split(sized, export.shard_bytes - END_BYTES)):
        name = f"shard-{number:06d}.tar"
        path = export.target.scratch / name
        num_samples = 0
        with path.open("wb") as stream, writer(stream, encoder=False, mtime=0, user="", group="") as tar:
            for members in shard:
                tar.write(members)
                tar.tarstream.members.clear()  # 340 bytes a member, which would grow with the shard
                num_samples += 1
        yield Shard(name, num_samples, path.stat().st_size, storage.hash_file(str(path))), path


def _members(sample: Sample) -> Members:
    """Every column and every view's pixels as a member."""
    members: Members = {"__key__": sample.key}
    views = []
    for number, (view, pixels) in enumerate(zip(sample.records["views"], sample.pixels, strict=True)):
        if pixels is None:
            views.append(view)
            continue
        name = f"view.{number:04d}.{EXTENSIONS.get(pixels.format, pixels.format)}"
        members[name] = _content(pixels)
        views.append(view | {"pixels": view["pixels"] | {"member": name}})
    members |= {f"{name}.npy": _npy(values) for name, values in sample.arrays.items()}
    return members | {f"{name}.json": to_json(value) for name, value in {**sample.records, "views": views}.items()}


def _content(pixels: Pixels) -> bytes:
    if pixels.format not in RAW:
        return pixels.data
    return _npy(np.frombuffer(pixels.data, np.uint8).reshape(pixels.shape))


def _npy(values: Array) -> bytes:
    """A .npy file, which holds numbers alone: no pickle."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _size(members: Members) -> int:
    """Bytes of a sample in a tar: a header a member, and members filled up to whole blocks."""
    contents = (content for name, content in members.items() if name != "__key__")
    return sum(BLOCK_BYTES + -(-len(content) // BLOCK_BYTES) * BLOCK_BYTES for content in contents)

"""Samples, each with the bytes of its members, become strict WebDataset shards: the same bytes each time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from jobs.export.target import Target

Members = list[tuple[str, bytes]]
"""Name and bytes of each."""


def write_shards(target: Target, name: str, samples: Iterator[Members], shard_bytes: int) -> Iterator[tuple[str, int]]:
    """Name and size of each finished shard, NAME-000000.tar and on.

    A shard ends before it is larger than shard_bytes; a sample is never cut.
    """
    path = target.scratch / "shard"
    number = 0
    archive: tarfile.TarFile | None = None
    for members in samples:
        size = sum(tarfile.BLOCKSIZE + -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE for _, data in members)
        if archive is not None and archive.offset + size + tarfile.RECORDSIZE > shard_bytes:
            yield _finish(target, archive, path, f"{name}-{number:06d}.tar")
            archive, number = None, number + 1
        archive = archive or tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - by _finish
        for member, data in members:
            info = tarfile.TarInfo(member)  # its owner is 0, its time 0
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        archive.members.clear()  # type: ignore[attr-defined]  # 460 bytes a member, which would grow with the shard
    if archive is not None:
        yield _finish(target, archive, path, f"{name}-{number:06d}.tar")


def _finish(target: Target, archive: tarfile.TarFile, path: Path, name: str) -> tuple[str, int]:
    archive.close()
    size = path.stat().st_size
    target.put(name, path)
    return name, size

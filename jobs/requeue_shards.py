"""Cuts rejected samples out of a shard into a new one. A member's name goes from tar to tar and is never a path."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from pipeline import storage
from pipeline.containers import container_of
from pipeline.errors import StorageError
from pipeline.formats import Format
from pipeline.formats.fields import join_keys
from pipeline.read import WHOLE, Located, locate_members
from pipeline.tar import Member

COPY_BYTES = 8 << 20
"""Read at once of a member: one request to a store, and all that is in memory."""


def write_rejected(url: str, sha256: str, format: Format, ordinals: Collection[int], target: Path) -> set[int]:  # noqa: A002
    """Writes the samples of a shard that have these ordinals to the tar `target`; the ordinals that it holds.

    Damage is no sample and is left out, and so is one of two samples that would be taken for one side by side; without
    a sample there is no file. StorageError if the shard is no longer the one with this sha256.
    """
    with storage.open_input(url) as (stream, size):
        found = _Rows(locate_members(stream, size, shard_name=url, format=format, ordinals=ordinals))
        samples = [row for row in found if row.members]
    if found.sha256 != sha256:
        raise StorageError(f"{url} is not the shard that was packed; requeue from that one, or run the job again")
    chosen = _apart(samples)
    if chosen:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.TarFile(target, "w", format=tarfile.PAX_FORMAT, copybufsize=COPY_BYTES) as archive:
            for member, data in _contents(url, format, chosen):
                info = tarfile.TarInfo(member.name)
                info.size = member.size
                archive.addfile(info, data)
    return {row.ordinal for row in chosen}


def _contents(url: str, format: Format, chosen: Sequence[Located]) -> Iterator[tuple[Member, IO[bytes]]]:  # noqa: A002
    """The members of the rows in order, with their bytes, of which never more than one sample's are in memory."""
    if container_of(url).members_are_ranges:
        yield from ((member, cast("IO[bytes]", _Bytes(url, member))) for row in chosen for member in row.members)
        return
    ordinals = {row.ordinal for row in chosen}
    with storage.open_input(url) as (stream, size):
        for row in locate_members(stream, size, shard_name=url, format=format, ordinals=ordinals, limits=WHOLE):
            yield from ((member, io.BytesIO(member.data)) for member in row.members if member.data is not None)


class _Rows:
    """The rows of a shard and, when they have been read, its hash."""

    def __init__(self, rows: Generator[Located, None, str]) -> None:
        self._rows = rows
        self.sha256 = ""

    def __iter__(self) -> Generator[Located]:
        self.sha256 = yield from self._rows


class _Bytes(io.RawIOBase):
    """The bytes of one member, fetched as they are asked for."""

    def __init__(self, url: str, member: Member) -> None:
        self._url, self._start, self._left = url, member.offset, member.size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        (data,) = storage.read_ranges(self._url, [(self._start, wanted)]) if wanted else (b"",)
        self._start += wanted
        self._left -= wanted
        return data


def _apart(samples: list[Located]) -> list[Located]:
    """The samples so ordered that no two neighbours would be one: what stood between them is not there any more."""
    chosen: list[Located] = []
    waiting = list(samples)
    while waiting:
        i = next((i for i, row in enumerate(waiting) if not chosen or _are_two(chosen[-1], row)), None)
        if i is None:
            break
        chosen.append(waiting.pop(i))
    return chosen


def _are_two(one: Located, other: Located) -> bool:
    return join_keys(one.key, other.key) is None

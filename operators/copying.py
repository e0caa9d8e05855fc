"""Copies views out of older packs: the same rectangle of the same picture at the same size is not rendered again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.operator import Row

PIXELS = ("data", "format")
"""What a view has that was rendered; `source` has a place instead, which costs nothing."""

REGION = "region"
"""Kind of the views that are each rendered straight from the picture."""


class Shown(NamedTuple):
    """What a view shows; within one profile its pixels follow from nothing else."""

    shard: str
    ordinal: int
    image: int
    """Number of the picture in its document."""
    kind: str
    box: tuple[int, ...]
    height: int
    width: int
    of: int
    """How many views the picture has: the canvas of its tiles follows from it. 0 for a region, which has none."""


class _Found(NamedTuple):
    """Where a view lies: the place of its file, the file's row group, and its place among the group's views."""

    file: int
    group: int
    place: int


class OlderViews:
    """The views of older packs by what they show. Their pixels stay in their files until they are wanted."""

    def __init__(self, files: Sequence[str]) -> None:
        """files: data files of the older build, by URL."""
        self.files = tuple(files)
        self._views: dict[Shown, _Found] = {}
        self._samples: set[tuple[str, int]] = set()
        for number, url in enumerate(self.files):
            with storage.open_input(url) as (stream, _), pq.ParquetFile(stream) as packs:
                for group in range(packs.num_row_groups):
                    for place, shown in enumerate(self._read(packs, group)):
                        self._views.setdefault(shown, _Found(number, group, place))

    def holds(self, shard: str, ordinal: int) -> bool:
        """Whether a sample is in the older packs, so that all of its pictures were found sound."""
        return (shard, ordinal) in self._samples

    def copies(self, wanted: set[Shown], folder: Path) -> Copies:
        """The pixels of those that are there, kept in `folder`. Only row groups that hold some are read, one by one."""
        groups: dict[tuple[int, int], list[tuple[int, Shown]]] = {}
        for shown in sorted(wanted & self._views.keys()):
            found = self._views[shown]
            groups.setdefault((found.file, found.group), []).append((found.place, shown))
        copies = Copies(folder)
        for (file, group), entries in sorted(groups.items()):
            with storage.open_input(self.files[file]) as (stream, _), pq.ParquetFile(stream) as packs:
                read = packs.read_row_group(group, columns=[f"views.list.element.pixels.{name}" for name in PIXELS])
            pixels = read["views"].combine_chunks().flatten().field("pixels")
            data, kinds = (pixels.field(name) for name in PIXELS)
            for place, shown in entries:
                copies.put(shown, data[place].as_buffer(), kinds[place].as_py())
        return copies

    def _read(self, packs: pq.ParquetFile, group: int) -> Iterator[Shown]:
        """What each view of a row group shows, in order; the samples are noted."""
        views = ("sample", "image", "kind", "box", "height", "width")
        columns = [f"views.list.element.{name}" for name in views] + ["samples.list.element.id"]
        for row in packs.read_row_group(group, columns=columns).to_pylist():
            identities = [(sample["id"]["shard"], sample["id"]["ordinal"]) for sample in row["samples"]]
            self._samples.update(identities)
            for (sample, image), own in groupby(row["views"], key=itemgetter("sample", "image")):
                shard, ordinal = identities[sample]
                yield from shown_by(shard, ordinal, image, list(own))


def shown_by(shard: str, ordinal: int, image: int, views: Sequence[Row]) -> list[Shown]:
    """What each view of a picture shows. views: all of it."""
    return [
        Shown(
            shard,
            ordinal,
            image,
            view["kind"],
            tuple(view["box"]),
            view["height"],
            view["width"],
            0 if view["kind"] == REGION else len(views),
        )
        for view in views
    ]


class Copies:
    """Pixels that were copied, on disk without a name: those of a file's packs need not fit memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open for as long as a task
        self._places: dict[Shown, tuple[int, int, str]] = {}
        self._end = 0

    def put(self, shown: Shown, data: pa.Buffer, kind: str) -> None:
        """StorageError if the disk is full."""
        try:
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise storage.failure(str(self._folder), "write", error, size=self._end + data.size) from error
        self._places[shown] = (self._end, data.size, kind)
        self._end += data.size

    def get(self, shown: Shown) -> Row | None:
        """The `pixels` of a view, or None if they were not copied."""
        if shown not in self._places:
            return None
        offset, size, kind = self._places[shown]
        self._file.seek(offset)
        return {"data": self._file.read(size), "format": kind}

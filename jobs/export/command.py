"""`lodepack export`: checks the call, then hands the packs of a version to a format's writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Protocol

from jobs.export.energon import write_energon
from jobs.export.mds import write_mds
from jobs.export.samples import Sample, column_types, read_samples
from jobs.export.shards import Export, Shard
from jobs.export.target import open_target
from jobs.export.tars import require_webdataset
from jobs.export.webdataset import write_webdataset
from pipeline.errors import ConfigError
from pipeline.loading.packs import open_packs

WRITERS: dict[str, Callable[[Export], list[Shard]]] = {
    "energon": write_energon,
    "mds": write_mds,
    "webdataset": write_webdataset,
}


class Progress(Protocol):
    """Who is told of each pack."""

    def advance(self, operator: str, rows: int) -> None: ...


def export_packs(
    output: str, to: str, target: str, *, version: int | None, shard_bytes: int, progress: Progress
) -> dict[str, Any]:
    """Writes the packs of a version, the newest by default, to a new or empty folder or URL; what was written.

    to: energon, mds or webdataset. Same packs, format and shard size give the same bytes. The file by which a reader
    finds the export is written last. ConfigError for a wrong call, StorageError if the target cannot be written.
    """
    if to not in WRITERS:
        raise ConfigError(f"--to {to}: choose {', '.join(sorted(WRITERS))}")
    if to != "mds":
        require_webdataset()
    packs = open_packs(output, version)
    if not len(packs):
        raise ConfigError(f"version {packs.number} of {output} has no packs; there is nothing to export")
    samples = _told(read_samples(packs), progress)
    with open_target(target) as opened:
        first = next(samples)
        export = Export(packs, chain([first], samples), column_types(first), opened, shard_bytes)
        shards = WRITERS[to](export)
    return {
        "export": opened.url,
        "to": to,
        "version": packs.number,
        "num_packs": len(packs),
        "num_shards": len(shards),
        "num_bytes": sum(shard.num_bytes for shard in shards),
    }


def _told(samples: Iterator[Sample], progress: Progress) -> Iterator[Sample]:
    for sample in samples:
        progress.advance("packs", 1)
        yield sample

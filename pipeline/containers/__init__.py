"""What a shard is a file of, known by its name alone: one small file each gives the groups of members that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.containers.groups import Group, Groups
from pipeline.containers.lines import read_lines
from pipeline.containers.rows import read_rows
from pipeline.containers.tars import read_tar
from pipeline.types import CELL

__all__ = ["TAR", "Container", "Group", "container_of"]


@dataclass(frozen=True, slots=True)
class Container:
    """How shards of one kind are read."""

    read: Groups
    encoding: str | None = None
    """How the bytes at a picture's place hold it, as `Segment.encoding` says."""
    members_are_ranges: bool = True
    """Whether each member is a range of the shard's bytes, at its place."""


TAR = Container(read_tar)
LINES = Container(read_lines)
ROWS = Container(read_rows, encoding=CELL, members_are_ranges=False)
BY_EXTENSION = {".jsonl": LINES, ".ndjson": LINES, ".parquet": ROWS}


def container_of(shard_name: str) -> Container:
    """The container that a shard of this name or URL is, by its extension: a tar where no other has it."""
    return BY_EXTENSION.get(PurePosixPath(shard_name).suffix.lower(), TAR)

"""What a shard is a file of, known by its name alone: one small file each gives the groups of members that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.containers.groups import Group, Groups
from pipeline.containers.lines import read_lines
from pipeline.containers.tars import read_tar

__all__ = ["Container", "Group", "container_of"]


@dataclass(frozen=True, slots=True)
class Container:
    """How shards of one kind are read."""

    read: Groups


TAR = Container(read_tar)
LINES = Container(read_lines)
BY_EXTENSION = {".jsonl": LINES, ".ndjson": LINES}


def container_of(shard_name: str) -> Container:
    """The container that a shard of this name or URL is, by its extension: a tar where no other has it."""
    return BY_EXTENSION.get(PurePosixPath(shard_name).suffix.lower(), TAR)

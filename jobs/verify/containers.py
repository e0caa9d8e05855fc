"""What a shard is a file of, told by its name, and with it how its members are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jobs.verify.lines import walk_lines
from jobs.verify.records import LimitsSection
from jobs.verify.rows import walk_rows
from jobs.verify.walk import Entry, Source, walk


def walk_shard(
    source: Source, shard: str, wanted: Callable[[str, int], bool], limits: LimitsSection
) -> Iterator[Entry]:
    """Members and damages of a shard in order; wanted: whether one of this name and size is to have its data."""
    name = shard.lower()
    if name.endswith((".jsonl", ".ndjson")):
        return walk_lines(source, wanted)
    if name.endswith(".parquet"):
        return walk_rows(source, wanted, limits)
    return walk(source, wanted)

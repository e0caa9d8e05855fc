"""What a limited run takes of each shard: whole shards in the order of their names, until the limit is reached."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.verify.findings import Report
from jobs.verify.records import Manifest, Version


def check_takes(manifests: Sequence[Manifest], version: Version, limit: int | None, report: Report) -> dict[str, int]:
    """How many samples must be taken of each shard; nothing without a limit. Findings of records that say otherwise."""
    takes: dict[str, int] = {}
    left = limit or 0
    entries = [(entry, manifest.where) for manifest in manifests for entry in manifest.inputs]
    for entry, where in sorted(entries, key=lambda pair: pair[0].shard):
        if limit is not None:
            takes[entry.shard] = min(left, entry.samples)
            left -= takes[entry.shard]
        report.expect(where, f"samples taken of {entry.shard}", entry.take, takes.get(entry.shard))
    where = f"versions/{report.version:06d}.json"
    withheld = sorted(version.withheld_shards)
    if withheld and (limit is None or left):
        report.add(where, f"withholds {withheld[0]}; a limit that ends before it expected, found {limit}")
    if withheld and takes and withheld[0] < max(takes):
        report.add(where, f"withholds {withheld[0]}, yet {max(takes)} after it is in a unit")
    return takes

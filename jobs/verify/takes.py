"""What a limited run takes of each shard: whole shards in the order of their names, until their source's share ends.

The limit is dealt to the sources in turn, a sample each, to those that have more; max_samples ends a source.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.verify.findings import Report
from jobs.verify.records import Input, Manifest, SourceEntry, Version
from jobs.verify.sources import mixes

Entry = tuple[Input, str]
"""A shard of a unit, and its manifest."""


def check_takes(manifests: Sequence[Manifest], version: Version, limit: int | None, report: Report) -> dict[str, int]:
    """How many samples must be taken of each shard; nothing where all are. Findings of records that say otherwise."""
    prefixes = {name: f"{name}/" if mixes(version, manifests) else "" for name in version.sources}
    entries: dict[str, list[Entry]] = {}
    withheld: dict[str, list[str]] = {}
    for name, source in version.sources.items():
        own = [manifest for manifest in manifests if manifest.unit in source.units]
        found = [(entry, manifest.where) for manifest in own for entry in manifest.inputs]
        entries[name] = sorted(found, key=lambda pair: pair[0].shard)
        withheld[name] = sorted(shard for shard in version.withheld_shards if shard.startswith(prefixes[name]))
    shares = _shares(version.sources, entries, withheld, limit)
    takes: dict[str, int] = {}
    for name in version.sources:
        takes |= _check_source(entries[name], withheld[name], shares[name], report)
    strays = set(version.withheld_shards).difference(*withheld.values())
    if strays:
        report.add(f"versions/{report.version:06d}.json", f"withholds {min(strays)}, which is of no source")
    return takes


def _shares(
    sources: dict[str, SourceEntry], entries: dict[str, list[Entry]], withheld: dict[str, list[str]], limit: int | None
) -> dict[str, int | None]:
    """Samples that are taken of each source; None takes all. What lies in a shard that was not read has no end."""
    if limit is None:
        return {name: source.max_samples for name, source in sources.items()}
    sizes: dict[str, float] = {}
    for name, source in sources.items():
        found = float("inf") if withheld[name] else sum(entry.samples for entry, _ in entries[name])
        sizes[name] = min(found, float("inf") if source.max_samples is None else source.max_samples)
    level = left = limit
    for place, size in enumerate(sorted(sizes.values())):
        level = int(left // (len(sizes) - place))
        if size > level:
            break
        left -= int(size)
    shares: dict[str, int | None] = {name: int(min(size, level)) for name, size in sizes.items()}
    left = limit - sum(share or 0 for share in shares.values())
    for name, size in sizes.items():  # what does not divide evenly: one more for each of the first that have it
        if left and size > (shares[name] or 0):
            shares[name] = (shares[name] or 0) + 1
            left -= 1
    return shares


def _check_source(
    entries: Sequence[Entry], withheld: Sequence[str], share: int | None, report: Report
) -> dict[str, int]:
    """What is taken of each shard of one source."""
    takes: dict[str, int] = {}
    left = share or 0
    for entry, where in entries:
        if share is not None:
            takes[entry.shard] = min(left, entry.samples)
            left -= takes[entry.shard]
        report.expect(where, f"samples taken of {entry.shard}", entry.take, takes.get(entry.shard))
    where = f"versions/{report.version:06d}.json"
    if withheld and (share is None or left):
        report.add(where, f"withholds {withheld[0]}; a limit that ends before it expected, found {share}")
    if withheld and takes and withheld[0] < max(takes):
        report.add(where, f"withholds {withheld[0]}, yet {max(takes)} after it is in a unit")
    return takes

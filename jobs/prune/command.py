"""Removes the versions of an output but the newest, and then what none of those refers to.

Versions go first, then manifests, then files: killed anywhere in between, it leaves no version that names what is
gone, and the next prune goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from jobs.inspect.output import open_output
from jobs.verify.orphans import KINDS, named_files
from pipeline import storage
from pipeline.errors import StorageError
from pipeline.leases import PRUNING, RUNNING, Lease, holding, refuse_others
from pipeline.planning import HASHES, version_numbers, version_url
from pipeline.records import read_version

BATCH = 1000
"""Removals between two looks at the lease: some seconds on a store."""
SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Prunable:
    """What an output holds, by whether it stays."""

    kept: Sequence[int]
    """Versions."""
    removed: Sequence[int]
    stages: tuple[Sequence[storage.Listed], ...]
    """What goes, in the order in which it has to: versions, manifests, caches of their shards' hashes, files."""
    num_units: int
    """That kept versions name."""
    num_unfinished: int
    """Units of a run that stopped, committed since the newest version: the next one keeps them, and so does this."""


def prune(output: str, *, keep: int, dry_run: bool) -> dict[str, Any]:
    """Removes what does not belong to the newest `keep` versions; says what, as JSON has it.

    dry_run: says the same and removes nothing. StorageError while a run is active, or if a version or a manifest that
    stays is damaged; nothing was removed then.
    """
    open_output(output)
    if dry_run:
        refuse_others(output, RUNNING)
        found = find_prunable(output, keep)
    else:
        with holding(output, PRUNING, against=RUNNING) as lease:
            found = find_prunable(output, keep)
            for stage in found.stages:
                _remove(stage, lease)
    _, manifests, _, files = found.stages
    return {
        "output": output,
        "dry_run": dry_run,
        "versions": {"kept": list(found.kept), "removed": list(found.removed)},
        "units": {"kept": found.num_units, "unfinished": found.num_unfinished, "removed": len(manifests)},
        "files": {"removed": len(files), "bytes": sum(file.size for file in files)},
        "paths": [file.url.removeprefix(storage.join(output, "")) for stage in found.stages for file in stage],
    }


def find_prunable(output: str, keep: int) -> Prunable:
    """What goes and what stays if the newest `keep` versions do."""
    numbers = version_numbers(output)
    kept, removed = numbers[-keep:], numbers[:-keep]
    versions = {file.url: file for file in storage.list_files(storage.join(output, "versions"))}
    manifests = {_stem(file): file for file in _records(storage.join(output, "manifests"))}
    units = _units(output, kept, manifests.keys())
    published = versions[version_url(output, numbers[-1])].changed
    unfinished = {unit for unit, file in manifests.items() if unit not in units and file.changed > published}
    staying = units | unfinished
    named = named_files(output, [manifests[unit] for unit in sorted(staying)])
    files = [
        file
        for kind in KINDS
        for file in storage.list_files(storage.join(output, kind))
        if f"{kind}/{file.url.rpartition('/')[2]}" not in named
    ]
    stages = (
        [versions[version_url(output, number)] for number in removed],
        [file for unit, file in manifests.items() if unit not in staying],
        [file for file in _records(storage.join(output, HASHES)) if _stem(file) not in staying],
        files,
    )
    return Prunable(kept, removed, stages, len(units), len(unfinished))


def to_lines(report: dict[str, Any]) -> list[str]:
    """The same for a terminal."""
    versions, units, files = report["versions"], report["units"], report["files"]
    lines = [path for path in report["paths"] if path.startswith("versions/")]
    done = "would remove" if report["dry_run"] else "removed"
    lines.append(
        f"{done} {len(versions['removed']):,} version(s), {units['removed']:,} unit(s), {files['removed']:,} file(s) "
        f"of {files['bytes']:,} bytes"
    )
    kept = f"kept {len(versions['kept']):,} version(s) of {units['kept']:,} unit(s)"
    if units["unfinished"]:
        kept += f", and {units['unfinished']:,} unit(s) of a run that did not end"
    return [*lines, kept]


def _units(output: str, kept: Sequence[int], there: Sequence[str] | Any) -> set[str]:
    """The units of these versions. StorageError if a version does not say which, or names one that is gone."""
    units: set[str] = set()
    for number in kept:
        url = version_url(output, number)
        named = read_version(url).get("units")
        if not isinstance(named, list):
            raise StorageError(f"{url} names no units, so nobody knows what to keep; use the lodepack that wrote it")
        gone = set(named).difference(there)
        if gone:
            raise StorageError(f"{url} names the unit {min(gone)}, which has no manifest; run lodepack verify {output}")
        units.update(named)
    return units


def _remove(files: Sequence[storage.Listed], lease: Lease) -> None:
    with ThreadPoolExecutor(storage.THREADS) as threads:
        for start in range(0, len(files), BATCH):
            lease.check()
            list(threads.map(storage.remove, [file.url for file in files[start : start + BATCH]]))


def _records(url: str) -> list[storage.Listed]:
    return [file for file in storage.list_files(url) if file.url.endswith(SUFFIX)]


def _stem(file: storage.Listed) -> str:
    return file.url.rpartition("/")[2].removesuffix(SUFFIX)

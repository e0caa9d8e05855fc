"""What runs that never ended left in an output: files that no manifest names, files that never got a name, and, on S3,
uploads that nobody finished.

They are harmless and take space. Removed is only what is old: a run that is going on commits what it has written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.errors import LodepackError, StorageError

KINDS = ("data", "index", "rejects")
FILE, TEMPORARY, UPLOAD = "file", "temporary", "upload"
HOUR = 3600.0
BATCH = 100
"""Removals between two looks: a second or so on a store."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that nobody committed."""

    kind: str
    """file (named by no manifest), temporary (unnamed, of a process that is dead or of another host), or upload."""
    path: str
    """Relative to the output."""
    size: int
    """Bytes; those of an upload are not told."""
    age: float
    """Seconds since it was written, or begun."""
    upload: storage.Upload | None = None


def find_orphans(output: str) -> list[Orphan]:
    """Everything that nobody committed, by path; never a record of a run, a manifest or a version.

    Not what a living process of this host is writing. StorageError if a manifest cannot be read: it may name any file.
    """
    now = time.time()
    # The files first: what is committed between the two listings is then named.
    files = [(FILE, kind, file) for kind in KINDS for file in storage.list_files(storage.join(output, kind))]
    named = named_files(output, storage.list_files(storage.join(output, "manifests")))
    found = [(kind, f"{folder}/{_name(file)}", file) for kind, folder, file in files]
    found = [entry for entry in found if entry[1] not in named]
    for file in storage.list_files(storage.join(output, storage.TEMPORARY)):
        if not storage.is_in_use(_name(file)):
            found.append((TEMPORARY, f"{storage.TEMPORARY}/{_name(file)}", file))
    uploads = [
        Orphan(UPLOAD, one.path, 0, max(0.0, now - one.started.timestamp()), one)
        for one in storage.unfinished_uploads(output)
        if one.path.count("/") == 1 and one.path.startswith(tuple(f"{kind}/" for kind in KINDS))
    ]
    return [Orphan(kind, path, file.size, max(0.0, now - file.changed)) for kind, path, file in found] + uploads


def remove_orphans(output: str, orphans: Iterable[Orphan], min_age: float) -> list[Orphan]:
    """Removes those of at least `min_age` seconds, and returns them. A file that was written again since stays.

    Before every BATCH of them all is asked again: a run may have written or committed one meanwhile. One that is
    written in the moment of its removal is missed by the run that commits it, which then stops before the commit.
    """
    left = [orphan for orphan in orphans if orphan.age >= min_age]
    gone: list[Orphan] = []
    while left:
        some, left = left[:BATCH], left[BATCH:]
        still = {(one.kind, one.path) for one in find_orphans(output) if one.age >= min_age}
        for orphan in some:
            if (orphan.kind, orphan.path) not in still:
                continue
            if orphan.upload is not None:
                storage.abort_upload(output, orphan.upload)
            else:
                storage.remove(storage.join(output, orphan.path))
            gone.append(orphan)
    return gone


def report_orphans(output: str, *, remove: bool, min_age_hours: float) -> dict[str, Any]:
    """What `lodepack verify OUT --orphans` says, as JSON has it."""
    orphans = find_orphans(output)
    gone = remove_orphans(output, orphans, min_age_hours * HOUR) if remove else []
    return {
        "output": output,
        "orphans": [
            {"kind": o.kind, "path": o.path, "bytes": o.size, "hours": round(o.age / HOUR, 2), "removed": o in gone}
            for o in orphans
        ],
        "bytes": sum(orphan.size for orphan in orphans),
        "removed": {"number": len(gone), "bytes": sum(orphan.size for orphan in gone)},
    }


def to_lines(report: dict[str, Any], *, remove: bool, min_age_hours: float) -> list[str]:
    """The same for a terminal."""
    orphans = report["orphans"]
    if not orphans:
        return ["nothing is left over: every file is named by a manifest"]
    lines = [
        f"{'removed ' if o['removed'] else ''}{o['path']}: {o['kind']}, {o['bytes']:,} bytes, {o['hours']:g} hours old"
        for o in orphans
    ]
    lines.append(f"{len(orphans):,} left over, {report['bytes']:,} bytes")
    if remove:
        gone = report["removed"]
        kept = len(orphans) - gone["number"]
        lines.append(f"removed {gone['number']:,}, {gone['bytes']:,} bytes")
        if kept:
            lines.append(f"kept {kept:,} younger than {min_age_hours:g} hours: a run may be about to commit them")
    else:
        lines.append(f"remove those older than {min_age_hours:g} hours with --remove")
    return lines


def _name(file: storage.Listed) -> str:
    return file.url.rpartition("/")[2]


def named_files(output: str, manifests: Iterable[storage.Listed]) -> set[str]:
    """The files that these manifests name, of this schema or another. StorageError if one cannot be read."""

    def read(manifest: storage.Listed) -> list[str]:
        try:
            return [str(entry["path"]) for entry in json.loads(storage.read_bytes(manifest.url))["files"]]
        except (ValueError, KeyError, TypeError, LodepackError) as error:
            raise StorageError(
                f"{manifest.url} cannot be read, so nobody knows what it names; run lodepack verify {output}"
            ) from error

    with ThreadPoolExecutor(storage.THREADS) as threads:
        return {path for paths in threads.map(read, manifests) for path in paths}

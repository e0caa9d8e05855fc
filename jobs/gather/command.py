"""Reads records, finds their pictures below one folder, and writes what is a document in its format into shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.export.target import open_target
from jobs.gather.layouts import LAYOUTS
from jobs.gather.records import Record, read_records
from jobs.gather.shards import Members, write_shards
from jobs.spec import local_target
from pipeline.errors import ConfigError, InputError, Reason
from pipeline.formats import FORMATS
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, to_json
from pipeline.tar import Member

MAX_SEGMENTS = 10_000
"""Texts and images of a document: limits.max_sample_members where no job says otherwise."""
MAX_TOLD = 1000
"""Faults that the result lists; all are counted."""


@dataclass(slots=True)
class Gathered:
    """What became of the records. missing: that ask for a picture which is not there; invalid: that are no document."""

    documents: int = 0
    images: int = 0
    shards: int = 0
    bytes: int = 0
    missing: int = 0
    dropped_images: int = 0
    invalid: int = 0
    faults: list[str] = field(default_factory=list)


def gather(
    sources: Sequence[str],
    output: str,
    *,
    format: str,  # noqa: A002
    images: str,
    shard_bytes: int,
    skip_missing: bool,
    notice: Callable[[str], None],
) -> Gathered:
    """Writes NAME-000000.tar … into a new or empty folder or URL; NAME is that of the first source.

    A record becomes a sample under its number, from 0, through all sources. The same records and pictures give the
    same bytes. Every fault is told to `notice` with its place, and the rest goes on. skip_missing: leave pictures that
    are not there out of an MMC4 document, instead of the document. ConfigError for a wrong call or a broken list.
    """
    if format not in LAYOUTS:
        raise ConfigError(f"--format {format}: choose {', '.join(LAYOUTS)}")
    root = local_target(images)
    if not root.is_dir():
        raise ConfigError(f"--images {images}: no such folder; give the one that the paths of pictures start from")
    paths = [local_target(source) for source in sources]
    done = Gathered()

    def tell(where: str, fault: str) -> None:
        line = f"{where} {fault}"
        notice(line)
        if len(done.faults) < MAX_TOLD:
            done.faults.append(line)

    def samples() -> Iterator[Members]:
        records = (record for path in paths for record in read_records(path))
        for number, record in enumerate(records):
            key = f"{number:09d}"
            members = _to_members(key, record, format, root.resolve(), done, tell, skip_missing=skip_missing)
            if members:
                done.documents += 1
                done.images += len(members) - 1
                yield members

    with open_target(output) as target:
        for name, size in write_shards(target, paths[0].name.partition(".")[0] or "shard", samples(), shard_bytes):
            done.shards += 1
            done.bytes += size
            notice(f"wrote {name}")
    if not (done.documents or done.missing or done.invalid):
        raise ConfigError(f"{', '.join(sources)}: no record in it; a JSON list or JSONL is expected")
    return done


def _to_members(
    key: str,
    record: Record,
    format: str,  # noqa: A002
    root: Path,
    done: Gathered,
    tell: Callable[[str, str], None],
    *,
    skip_missing: bool,
) -> Members:
    """The members of one record; none, and its fault told, if it is no document."""
    layout = LAYOUTS[format]
    value = record.value
    if record.fault or not isinstance(value, dict):
        done.invalid += 1
        tell(record.where, record.fault or "holds no object")
        return []
    found: list[tuple[str, bytes]] = []
    gone: set[int] = set()
    for number, path in enumerate(layout.paths(value)):
        try:
            found.append((extension_of(str(path)), _read(root, path)))
        except InputError as error:
            gone.add(number)
            tell(record.where, error.detail)
    if gone and (layout.without is None or not skip_missing):
        done.missing += 1
        return []
    done.dropped_images += len(gone)
    names = [f"{number}.{extension}" for number, (extension, _) in enumerate(found)]
    index = layout.renamed(layout.without(value, gone) if gone and layout.without else value, names)
    try:
        members = [(f"{key}.json", to_json(index))]
    except RecursionError:
        done.invalid += 1
        tell(record.where, "holds too many lists in each other")
        return []
    members += [(f"{key}.{name}", data) for name, (_, data) in zip(names, found, strict=True)]
    fault = _fault(key, members, format)
    if fault:
        done.invalid += 1
        tell(record.where, fault)
        return []
    return members


def _read(root: Path, path: Any) -> bytes:
    """The bytes of a picture below `root`. InputError if there is none, or it lies elsewhere."""
    reason = Reason.FIELD_MISSING
    if not isinstance(path, str) or not path:
        raise InputError(reason, f"names a picture as {path!r:.40}; a path is expected")
    if extension_of(path) not in IMAGE_FIELDS:
        raise InputError(reason, f"names the picture {path!r:.200}, whose extension is none of a picture")
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            raise InputError(reason, f"names the picture {path!r:.200}, which leads out of {root}; it was not read")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise InputError(reason, f"names the picture {path!r:.200}: {why}") from error


def _fault(key: str, members: Members, format: str) -> str:  # noqa: A002
    """Why a build would reject these members, or nothing."""
    entries = [Member(name, 0, len(data), data) for name, data in members]
    try:
        sample, _ = FORMATS[format].to_sample(key, entries, MAX_SEGMENTS)
    except InputError as error:
        return error.detail
    return sample.rejection.detail if sample.rejection else ""

"""Reads records, finds their pictures below one folder, and writes what is a document in its format into shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.export.target import open_target
from jobs.gather.finding import find_file, read_file
from jobs.gather.layouts import LAYOUTS
from jobs.gather.records import Record, read_records
from jobs.gather.shards import Members, write_shards
from jobs.gather.video import VIDEO_FIELDS, Choice, interleaved, read_frames, require_av
from jobs.spec import local_target
from pipeline.errors import ConfigError, InputError
from pipeline.formats import FORMATS
from pipeline.formats.fields import IMAGE_FIELDS, extension_of, to_json
from pipeline.tar import Member

MAX_SEGMENTS = 10_000
"""Texts and images of a document: limits.max_sample_members where no job says otherwise."""
MAX_TOLD = 1000
"""Faults that the result lists; all are counted."""
VIDEO = "video"
"""The layout of records that name a video file each; their samples are `frames`, or, with times in the text,
`interleaved`."""
Tell = Callable[[str, str], None]


@dataclass(slots=True)
class Gathered:
    """What became of the records. missing: that ask for a file which is not there; invalid: that are no document."""

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
    choice: Choice = Choice(),  # noqa: B008 - frozen
) -> Gathered:
    """Writes NAME-000000.tar … into a new or empty folder or URL; NAME is that of the first source.

    A record becomes a sample under its number, from 0, through all sources. The same records and pictures give the
    same bytes. Every fault is told to `notice` with its place, and the rest goes on. skip_missing: leave pictures that
    are not there out of an MMC4 document, instead of the document. choice: of a video's frames. ConfigError for a
    wrong call, a broken list, or videos without PyAV.
    """
    if format not in (*LAYOUTS, VIDEO):
        raise ConfigError(f"--format {format}: choose {', '.join((*LAYOUTS, VIDEO))}")
    if format == VIDEO:
        require_av()
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
            if format == VIDEO:
                members = _video_members(key, record, choice, root.resolve(), done, tell)
            else:
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
    tell: Tell,
    *,
    skip_missing: bool,
) -> Members:
    """The members of one record; none, and its fault told, if it is no document."""
    layout = LAYOUTS[format]
    value = _object(record, done, tell)
    if value is None:
        return []
    found: list[tuple[str, bytes]] = []
    gone: set[int] = set()
    for number, path in enumerate(layout.paths(value)):
        try:
            found.append((extension_of(str(path)), read_file(root, path, "picture", IMAGE_FIELDS)))
        except InputError as error:
            gone.add(number)
            tell(record.where, error.detail)
    if gone and (layout.without is None or not skip_missing):
        done.missing += 1
        return []
    done.dropped_images += len(gone)
    names = [f"{number}.{extension}" for number, (extension, _) in enumerate(found)]
    index = layout.renamed(layout.without(value, gone) if gone and layout.without else value, names)
    pictures = [(f"{key}.{name}", data) for name, (_, data) in zip(names, found, strict=True)]
    return _checked(key, index, pictures, format, record, done, tell)


def _video_members(key: str, record: Record, choice: Choice, root: Path, done: Gathered, tell: Tell) -> Members:
    """The members of one record that names a video: its frames, and their times and numbers in its JSON."""
    value = _object(record, done, tell)
    if value is None:
        return []
    path = value.get("video")
    try:
        file = find_file(root, path, "video", VIDEO_FIELDS)
    except InputError as error:
        done.missing += 1
        tell(record.where, error.detail)
        return []
    try:
        frames = read_frames(file, choice)
    except InputError as error:
        done.invalid += 1
        tell(record.where, f"names the video {path!r:.200}: {error.detail}")
        return []
    told: dict[str, Any] = {
        "timestamps": [round(one.seconds, 3) for one in frames],
        "frame_numbers": [one.number for one in frames],
    }
    if choice.stamps:
        told |= interleaved(frames, value["caption"] if isinstance(value.get("caption"), str) else "")
        pictures = [(f"{key}.{place}.{one.extension}", one.data) for place, one in enumerate(frames)]
        return _checked(key, value | told, pictures, "interleaved", record, done, tell)
    pictures = [(f"{key}.{place:03d}.{one.extension}", one.data) for place, one in enumerate(frames)]
    return _checked(key, value | told, pictures, "frames", record, done, tell)


def _object(record: Record, done: Gathered, tell: Tell) -> dict[str, Any] | None:
    if not record.fault and isinstance(record.value, dict):
        return record.value
    done.invalid += 1
    tell(record.where, record.fault or "holds no object")
    return None


def _checked(
    key: str,
    index: dict[str, Any],
    pictures: Members,
    format: str,  # noqa: A002
    record: Record,
    done: Gathered,
    tell: Tell,
) -> Members:
    """The sample's members; none, and its fault told, if a build would reject them."""
    try:
        members = [(f"{key}.json", to_json(index)), *pictures]
    except RecursionError:
        fault = "holds too many lists in each other"
    else:
        fault = _fault(key, members, format)
    if not fault:
        return members
    done.invalid += 1
    tell(record.where, fault)
    return []


def _fault(key: str, members: Members, format: str) -> str:  # noqa: A002
    """Why a build would reject these members, or nothing."""
    entries = [Member(name, 0, len(data), data) for name, data in members]
    try:
        sample, _ = FORMATS[format].to_sample(key, entries, MAX_SEGMENTS)
    except InputError as error:
        return error.detail
    return sample.rejection.detail if sample.rejection else ""

"""Files that appear whole or not at all: moved, created exclusively, put under the name of their content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage import clients, s3, uploads
from pipeline.storage.addresses import is_local, is_s3, join, local_path
from pipeline.storage.attempts import attempt, filesystem
from pipeline.storage.reading import hash_file
from pipeline.storage.temporaries import temporary_path


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the output, under the name that its content gave it."""

    path: str
    """Relative to the output."""
    sha256: str
    size: int


def _fsync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def put_file(root: str, path: str, source: Path) -> None:
    """Moves the finished local file `source` to `root/path`, where it appears whole or not at all; memory is bounded.

    A local `root` must be on the file system of `source`: its temporary_path, say.
    """
    target = join(root, path)
    size = source.stat().st_size
    if is_local(root):

        def place() -> None:
            _fsync(source)
            local_path(target).parent.mkdir(parents=True, exist_ok=True)
            source.replace(local_path(target))

        attempt(target, "write", place, size=size)
        return
    if is_s3(root):
        remote = clients.locate(target)
        in_parts = size >= 2 * uploads.PART_BYTES
        clients.run(
            remote, uploads.put_parts(remote, source, size) if in_parts else s3.put(remote, source.read_bytes())
        )
    else:
        fs, name = filesystem(target)
        attempt(target, "write", lambda: fs.put_file(str(source), name), size=size)
    source.unlink()


def put_by_content(root: str, folder: str, stem: str, suffix: str, source: Path) -> Stored:
    """Moves the finished file `source` to `root/folder/stem-<sha8>suffix`; putting the same bytes twice is harmless."""
    sha256 = hash_file(str(source))
    size = source.stat().st_size
    path = f"{folder}/{stem}-{sha256[:8]}{suffix}"
    put_file(root, path, source)
    return Stored(path, sha256, size)


def create_exclusive(url: str, data: bytes) -> bool:
    """Creates `url` whole or not at all; False if it exists already, whoever made it.

    Locally a finished file is linked to its name (a kill between open and write would leave half a manifest behind
    O_EXCL); on S3 the request carries If-None-Match.
    """
    if is_s3(url):
        remote = clients.locate(url)
        return clients.run(remote, s3.create(remote, data))
    try:
        attempt(url, "create", lambda: _create(url, data), size=len(data))
    except FileExistsError:
        return False
    return True


def _create(url: str, data: bytes) -> None:
    """FileExistsError if it is there."""
    if not is_local(url):
        fs, name = filesystem(url)
        fs.pipe_file(name, data, mode="create")
        return
    path = local_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    source = temporary_path(str(path.parent.parent))
    try:
        source.write_bytes(data)
        _fsync(source)
        os.link(source, path)
    finally:
        source.unlink(missing_ok=True)


def overwrite(root: str, path: str, data: bytes) -> None:
    """Writes a small file below `root`, outside the reproducible tree (run records, caches): whole or not at all."""
    url = join(root, path)
    if is_s3(root):
        remote = clients.locate(url)
        clients.run(remote, s3.put(remote, data))
    elif is_local(root):
        source = temporary_path(root)

        def replace() -> None:
            local_path(url).parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(data)
            source.replace(local_path(url))

        try:
            attempt(url, "write", replace, size=len(data))
        finally:
            source.unlink(missing_ok=True)
    else:
        fs, name = filesystem(url)
        attempt(url, "write", lambda: fs.pipe_file(name, data), size=len(data))

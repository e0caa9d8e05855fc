"""Files that appear whole or not at all: moved, created exclusively, put under the name of their content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.addresses import is_local, is_s3, join, local_path
from pipeline.storage.attempts import attempt, filesystem
from pipeline.storage.reading import hash_file
from pipeline.storage.temporaries import temporary_path

PART_BYTES = 1 << 24
"""A file of two parts or more goes to S3 in parts, which nobody sees before the last one is there."""
PARTS_AT_ONCE = 4
"""64 MiB in memory; s3fs by itself would hold ten parts of 50 MiB."""
MAX_PARTS = 10_000
"""S3 takes no more; a file of over 156 GiB has larger parts."""


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
    if is_local(root):

        def place() -> None:
            _fsync(source)
            local_path(target).parent.mkdir(parents=True, exist_ok=True)
            source.replace(local_path(target))

        attempt(target, place)
        return
    fs, remote = filesystem(target)
    options = {}
    if is_s3(target):
        part_bytes = max(PART_BYTES, -(-source.stat().st_size // MAX_PARTS))
        options = {"chunksize": part_bytes, "max_concurrency": PARTS_AT_ONCE}
    attempt(target, lambda: fs.put_file(str(source), remote, **options))
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
    if is_local(url):
        path = local_path(url)

        def link() -> bool:
            path.parent.mkdir(parents=True, exist_ok=True)
            source = temporary_path(str(path.parent.parent))
            source.write_bytes(data)
            _fsync(source)
            try:
                os.link(source, path)
            except FileExistsError:
                return False
            finally:
                source.unlink()
            return True

        return attempt(url, link)
    fs, remote = filesystem(url)

    def pipe() -> None:
        try:
            fs.pipe_file(remote, data, mode="create")
        except OSError as error:
            if _is_precondition(error):
                raise FileExistsError(url) from error
            raise

    try:
        attempt(url, pipe)
    except FileExistsError:
        return False
    return True


def _is_precondition(error: OSError) -> bool:
    """Whether S3 refused a conditional write because the object exists: s3fs makes a bare EINVAL of that answer."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in {"PreconditionFailed", "412"}


def overwrite(root: str, path: str, data: bytes) -> None:
    """Writes a small file below `root`, outside the reproducible tree (run records, caches): whole or not at all."""
    url = join(root, path)
    if is_local(root):
        source = temporary_path(root)

        def replace() -> None:
            local_path(url).parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(data)
            source.replace(local_path(url))

        attempt(url, replace)
    else:
        fs, remote = filesystem(url)
        attempt(url, lambda: fs.pipe_file(remote, data))

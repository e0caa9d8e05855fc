"""Files behind fsspec URLs: opened, listed, created exclusively, put under the name of their content.

The one place that talks to a file system. What it says comes out as StorageError with the URL, never with the
options that may hold a secret.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import StorageError

T = TypeVar("T")

ATTEMPTS = 5
"""Tries per call; with jittered waits of at most 8 s a call gives up within half a minute."""
CHUNK_BYTES = 1 << 20
COALESCE_BYTES = 1 << 20
"""Ranges closer than this are fetched as one: a gap of 1 MiB costs less than another request to an object store."""
PART_BYTES = 1 << 24
"""A file of two parts or more goes to S3 in parts, which nobody sees before the last one is there."""
PARTS_AT_ONCE = 4
"""64 MiB in memory; s3fs by itself would hold ten parts of 50 MiB."""
MAX_PARTS = 10_000
"""S3 takes no more; a file of over 156 GiB has larger parts."""
S3_OPTIONS = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 1}}}
"""Finite timeouts: an unbounded dead socket wedges a unit for ever instead of failing it into a retry. One layer
retries, ours: botocore's five times our five would keep a user waiting for minutes."""
FAILURES = (OSError, BotoCoreError)
"""What a store raises: s3fs makes an OSError of an answer it dislikes, and passes on what botocore says of none."""
PERMANENT = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    NoCredentialsError,
    PartialCredentialsError,
)
_OPENED: dict[int, Any] = {}
"""Every file system that was used here, by its id, so that none is ever collected. At a fork fsspec drops those of the
parent from its cache. When the child collects one, s3fs closes its connections, and with them unregisters the parent's
from the epoll that both share: the parent hears no more of them and waits for read_timeout."""
THREADS = 16
"""Requests for small things at once: a store answers one in some 20 ms, whatever else it does."""
LISTED = 20
"""Objects of one folder that are worth its listing."""
TEMPORARY = "runs/tmp"
"""Where a local output keeps files that have no name yet: the same file system, outside the reproducible tree."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the output, under the name that its content gave it."""

    path: str
    """Relative to the output."""
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the listing of its folder tells of it."""

    url: str
    size: int
    changed: float
    """Seconds since 1970."""
    stamp: str
    """ETag or time of change: with the size, what `fingerprint` says."""


def is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    return Path(url.removeprefix("file://"))


def _is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def join(root: str, *parts: str) -> str:
    """`root` and `parts` with single slashes between them."""
    return "/".join([root.rstrip("/"), *parts])


def _filesystem(url: str) -> tuple[Any, str]:
    options: dict[str, Any] = S3_OPTIONS if _is_s3(url) else {}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise StorageError(f"cannot open {url}: {error}; use a local path, file:// or s3://") from error
    _OPENED[id(fs)] = fs
    return fs, str(path)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, FAILURES) and not isinstance(error, PERMANENT)


def _attempt(url: str, action: Callable[[], T]) -> T:
    """`action()`, retried with jitter; FileExistsError passes, any other failure is a StorageError naming `url`."""
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=8),
        retry=retry_if_exception(_is_transient),
        reraise=True,
    )
    try:
        return retrying(action)
    except FileExistsError:
        raise
    except FAILURES as error:
        raise StorageError(f"{url}: {_why(error)}; check the address, the permissions and the space left") from error


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


@contextmanager
def open_input(url: str) -> Iterator[tuple[BinaryIO, int]]:
    """An input file for reading from its start, and its size in bytes."""
    fs, path = _filesystem(url)
    size = int(_attempt(url, lambda: fs.size(path)))
    with _attempt(url, lambda: fs.open(path, "rb")) as stream:
        try:
            yield cast("BinaryIO", stream), size
        except FAILURES as error:  # a read in the middle of a stream cannot be tried again here: the unit can
            raise StorageError(f"{url}: {_why(error)}; run again to resume") from error


def expand_glob(pattern: str) -> list[str]:
    """The files that a pattern with `*`, `?` or `[…]` matches, sorted: URLs if it is one, otherwise absolute paths."""
    fs, path = _filesystem(pattern)
    found = sorted(str(name) for name in _attempt(pattern, lambda: fs.glob(path)))
    return [str(fs.unstrip_protocol(name)) if "://" in pattern else name for name in found]


def fingerprint(url: str) -> str:
    """What tells a changed file from an unchanged one without reading it: size, and ETag or time of change."""
    fs, path = _filesystem(url)
    fs.invalidate_cache(path)  # a listing that s3fs remembers would show a changed object as it was
    info = _attempt(url, lambda: fs.info(path))
    return f"{info['size']}:{_stamp(info)}"


def _stamp(info: dict[str, Any]) -> Any:
    return info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or ""


def fingerprints(urls: Sequence[str]) -> dict[str, str]:
    """`fingerprint` of each of the URLs that is there: several at once, and of a folder of a store by one listing.

    A listing tells of 1,000 objects in one request; it is asked where at least LISTED of its objects are wanted.
    """
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault("" if is_local(url) else url.rpartition("/")[0], []).append(url)
    found: dict[str, str] = {}
    single: list[str] = []
    for folder, wanted in folders.items():
        if not folder or len(wanted) < LISTED:
            single += wanted
            continue
        names = {file.url: file for file in list_files(folder)}
        found |= {url: f"{names[url].size}:{names[url].stamp}" for url in wanted if url in names}
    with ThreadPoolExecutor(THREADS) as threads:
        stamps = threads.map(_fingerprint_if_there, single)
        found |= {url: stamp for url, stamp in zip(single, stamps, strict=True) if stamp is not None}
    return found


def _fingerprint_if_there(url: str) -> str | None:
    try:
        return fingerprint(url)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def list_files(url: str) -> list[Listed]:
    """The files in a folder, by name; none if there is no such folder."""
    fs, path = _filesystem(url)

    def entries() -> list[dict[str, Any]]:
        fs.invalidate_cache(path)
        try:
            return [entry for entry in fs.ls(path, detail=True) if entry["type"] == "file"]
        except FileNotFoundError:
            return []

    found = []
    for entry in _attempt(url, entries):
        changed = entry.get("LastModified") or entry.get("mtime") or 0.0
        when = changed.timestamp() if isinstance(changed, datetime) else float(changed)
        name = str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
        found.append(Listed(join(url, name), int(entry["size"]), when, str(_stamp(entry))))
    return sorted(found, key=lambda file: file.url)


def remove(url: str) -> None:
    """Removes one file; what is gone already is as good."""
    fs, path = _filesystem(url)

    def unlink() -> None:
        with suppress(FileNotFoundError):
            fs.rm_file(path)

    _attempt(url, unlink)


def hash_file(url: str) -> str:
    """sha256 of a whole file, in hex, in constant memory."""
    digest = hashlib.sha256()
    with open_input(url) as (stream, _):
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_bytes(url: str) -> bytes:
    fs, path = _filesystem(url)
    return bytes(_attempt(url, lambda: fs.cat_file(path)))


def exists(url: str) -> bool:
    fs, path = _filesystem(url)
    return bool(_attempt(url, lambda: fs.exists(path)))


def list_names(url: str) -> list[str]:
    """The base names in a folder, sorted; none if there is no such folder."""
    fs, path = _filesystem(url)

    def names() -> list[str]:
        fs.invalidate_cache(path)
        try:
            return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
        except FileNotFoundError:
            return []

    return _attempt(url, names)


def read_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of each (offset, size), near ones fetched together; a short answer is a StorageError."""
    fs, path = _filesystem(url)
    order = sorted(range(len(ranges)), key=lambda i: ranges[i])
    found: list[bytes] = [b""] * len(ranges)
    while order:
        group = [order.pop(0)]
        start, end = ranges[group[0]][0], sum(ranges[group[0]])
        while order and ranges[order[0]][0] - end <= COALESCE_BYTES:
            group.append(order.pop(0))
            end = max(end, sum(ranges[group[-1]]))
        block = _attempt(url, lambda start=start, end=end: fs.cat_file(path, start=start, end=end))  # type: ignore[misc]
        if len(block) != end - start:
            raise StorageError(
                f"{url}: {len(block)} bytes came for bytes {start} to {end}; the shard changed, run again"
            )
        for i in group:
            offset, size = ranges[i]
            found[i] = block[offset - start : offset - start + size]
    return found


def _temporary_folder(root: str) -> Path:
    folder = local_path(root) / TEMPORARY if is_local(root) else Path(tempfile.gettempdir()) / "lodepack"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}; choose an output folder that can be written") from error
    return folder


def temporary_path(root: str) -> Path:
    """A fresh local path for a file on its way into `root`; its name says which process may still be writing it."""
    return _temporary_folder(root) / f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"


def sweep_temporaries(root: str, *, with_own: bool = False) -> None:
    """Removes what dead processes of this host left behind; files of living ones and of other hosts stay.

    with_own: those of this process too, which has to have stopped writing.
    """
    folder = local_path(root) / TEMPORARY if is_local(root) else Path(tempfile.gettempdir()) / "lodepack"
    for path in folder.glob(f"{socket.gethostname()}.*"):
        if not is_in_use(path.name) or (with_own and _writer(path.name) == os.getpid()):
            path.unlink(missing_ok=True)


def is_in_use(temporary: str) -> bool:
    """Whether a process of this host that is alive may be writing the file of this name; of other hosts none is known.

    What has no name of ours is nobody's.
    """
    pid = _writer(temporary)
    return pid is not None and temporary.startswith(f"{socket.gethostname()}.") and _is_alive(pid)


def _writer(temporary: str) -> int | None:
    """The process that a temporary file's name tells of; a name that is not ours tells of none."""
    pid = (temporary.rsplit(".", 2)[-2:] or [""])[0]
    return int(pid) if pid.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and running
        return True
    return True


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

        _attempt(target, place)
        return
    fs, remote = _filesystem(target)
    options = {}
    if _is_s3(target):
        part_bytes = max(PART_BYTES, -(-source.stat().st_size // MAX_PARTS))
        options = {"chunksize": part_bytes, "max_concurrency": PARTS_AT_ONCE}
    _attempt(target, lambda: fs.put_file(str(source), remote, **options))
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

        return _attempt(url, link)
    fs, remote = _filesystem(url)

    def pipe() -> None:
        try:
            fs.pipe_file(remote, data, mode="create")
        except OSError as error:
            if _is_precondition(error):
                raise FileExistsError(url) from error
            raise

    try:
        _attempt(url, pipe)
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

        _attempt(url, replace)
    else:
        fs, remote = _filesystem(url)
        _attempt(url, lambda: fs.pipe_file(remote, data))

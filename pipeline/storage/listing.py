"""Folders listed: names, and what a listing tells of files, which spares a request for each; and files removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fsspec.utils import glob_translate

from pipeline.errors import StorageError
from pipeline.storage import clients, s3
from pipeline.storage.addresses import is_local, is_s3, join
from pipeline.storage.attempts import attempt, filesystem

THREADS = 16
"""Requests for small things at once: a store answers one in some 20 ms, whatever else it does."""
LISTED = 20
"""Objects of one folder that are worth its listing."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the listing of its folder tells of it."""

    url: str
    size: int
    changed: float
    """Seconds since 1970."""
    stamp: str
    """ETag or time of change: with the size, what `fingerprint` says."""


def expand_glob(pattern: str) -> list[str]:
    """The files that a pattern with `*`, `?` or `[…]` matches, sorted: URLs if it is one, otherwise absolute paths."""
    if is_s3(pattern):
        return _expand_keys(pattern)
    fs, path = filesystem(pattern)
    found = sorted(str(name) for name in attempt(pattern, "list", lambda: fs.glob(path)))
    return [str(fs.unstrip_protocol(name)) if "://" in pattern else name for name in found]


def _expand_keys(pattern: str) -> list[str]:
    place = clients.locate(pattern)
    fixed = re.split(r"[*?\[]", place.key, maxsplit=1)[0]
    delimiter = "" if "/" in place.key[len(fixed) :] or "**" in place.key else "/"
    keys = clients.run(place, s3.list_keys(place, fixed, delimiter))
    matches = re.compile(glob_translate(place.key)).match
    return [f"s3://{place.bucket}/{key}" for key in sorted(keys) if matches(key) and not key.endswith("/")]


def list_names(url: str) -> list[str]:
    """The base names in a folder, sorted; none if there is no such folder."""
    if is_s3(url):
        place = clients.locate(url)
        prefix = f"{place.key}/" if place.key else ""
        keys = clients.run(place, s3.list_keys(place, prefix, "/"))
        return sorted({key.removeprefix(prefix).rstrip("/") for key in keys} - {""})
    return sorted(_base(entry["name"]) for entry in _entries(url))


def list_files(url: str) -> list[Listed]:
    """The files in a folder, by name; none if there is no such folder."""
    if is_s3(url):
        place = clients.locate(url)
        prefix = f"{place.key}/" if place.key else ""
        found = clients.run(place, s3.list_objects(place, prefix, "/"))
        entries = [entry | {"name": entry["Key"], "size": entry["Size"]} for entry in found if entry["Key"] != prefix]
    else:
        entries = [entry for entry in _entries(url) if entry["type"] == "file"]
    files = [
        Listed(join(url, _base(entry["name"])), int(entry["size"]), _changed(entry), stamp(entry)) for entry in entries
    ]
    return sorted(files, key=lambda file: file.url)


def _entries(url: str) -> list[dict[str, Any]]:
    fs, path = filesystem(url)

    def entries() -> list[dict[str, Any]]:
        fs.invalidate_cache(path)
        try:
            return list(fs.ls(path, detail=True))
        except FileNotFoundError:
            return []

    return attempt(url, "list", entries)


def _base(name: object) -> str:
    return str(name).rstrip("/").rsplit("/", 1)[-1]


def _changed(entry: dict[str, Any]) -> float:
    when = entry.get("LastModified") or entry.get("mtime") or 0.0
    return when.timestamp() if isinstance(when, datetime) else float(when)


def stamp(entry: dict[str, Any]) -> str:
    """What changes with a file: its ETag where there is one, otherwise its time."""
    return str(entry.get("ETag") or entry.get("etag") or entry.get("mtime") or entry.get("LastModified") or "")


def fingerprint(url: str) -> str:
    """What tells a changed file from an unchanged one without reading it: size, and ETag or time of change."""
    found = _fingerprint(url)
    if found is None:
        raise StorageError(f"{url}: no such file; check the address")
    return found


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
        stamps = threads.map(_fingerprint, single)
        found |= {url: one for url, one in zip(single, stamps, strict=True) if one is not None}
    return found


def _fingerprint(url: str) -> str | None:
    """None if there is no such file."""
    if is_s3(url):
        place = clients.locate(url)
        version = clients.run(place, s3.find(place))
        return None if version is None else f"{version.size}:{version.etag}"
    fs, path = filesystem(url)
    fs.invalidate_cache(path)  # a listing that it remembers would show a changed file as it was
    try:
        info = attempt(url, "read", lambda: fs.info(path))
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    return f"{info['size']}:{stamp(info)}"


def remove(url: str) -> None:
    """Removes one file; what is gone already is as good."""
    if is_s3(url):
        place = clients.locate(url)
        clients.run(place, s3.remove(place))
        return
    fs, path = filesystem(url)

    def unlink() -> None:
        with suppress(FileNotFoundError):
            fs.rm_file(path)

    attempt(url, "remove", unlink)

"""How objects of S3 are reached: one client a process, whose coroutines run on fsspec's loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import fsspec

from pipeline.errors import StorageError
from pipeline.storage.addresses import bucket_and_key

T = TypeVar("T")

OPTIONS: dict[str, Any] = {
    "connect_timeout": 90,  # above the longest of our deadlines, which end a request before
    "read_timeout": 90,
    "retries": {"total_max_attempts": 1},
    "max_pool_connections": 32,  # the default, 10, would let requests of planning's threads wait for one another
}
_CLIENTS: dict[tuple[Any, ...], Any] = {}
"""The file systems of this process and, after a fork, its parent's, so that none of those is ever collected here: s3fs
would close its connections, and with them unregister the parent's from the epoll that both share; the parent would hear
no more of them and wait out its deadlines. One for all threads: fsspec's cache would make one for each, at 0.1 s."""
_MAKING = Lock()


@dataclass(frozen=True, slots=True)
class Object:
    """An object or a prefix, and how it is reached."""

    url: str
    bucket: str
    key: str
    fs: Any


def locate(url: str) -> Object:
    """The object at an S3 URL; no request is made. StorageError if the environment's settings are none."""
    return Object(url, *bucket_and_key(url), _client(url))


def _client(url: str) -> Any:
    """s3fs of this process and of what the environment says: address, keys, region."""
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    key = (os.getpid(), *settings)
    with _MAKING:
        if key not in _CLIENTS:
            try:
                fs = fsspec.filesystem("s3", skip_instance_cache=True, config_kwargs=OPTIONS)
            except (ValueError, ImportError) as error:
                raise StorageError(f"cannot open {url}: {error}; install s3fs") from error
            fs.retries = 1
            _CLIENTS[key] = fs
        return _CLIENTS[key]


def begin(place: Object, work: Coroutine[Any, Any, T]) -> Future[T]:
    """Starts a coroutine on the loop of its file system."""
    return asyncio.run_coroutine_threadsafe(work, place.fs.loop)


def run(place: Object, work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine; it is cancelled if the caller is interrupted."""
    future = begin(place, work)
    try:
        return future.result()
    finally:
        future.cancel()

"""Calls to a file system: opened with finite timeouts, tried again with jitter, their failures one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import StorageError
from pipeline.storage.addresses import is_s3

T = TypeVar("T")

ATTEMPTS = 5
"""Tries per call; with jittered waits of at most 8 s a call gives up within half a minute."""
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


def filesystem(url: str) -> tuple[Any, str]:
    options: dict[str, Any] = S3_OPTIONS if is_s3(url) else {}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise StorageError(f"cannot open {url}: {error}; use a local path, file:// or s3://") from error
    _OPENED[id(fs)] = fs
    return fs, str(path)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, FAILURES) and not isinstance(error, PERMANENT)


def attempt(url: str, action: Callable[[], T]) -> T:
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
        raise StorageError(f"{url}: {why(error)}; check the address, the permissions and the space left") from error


def why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__

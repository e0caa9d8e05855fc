"""Calls to a store, tried again with jitter and with more time each time; what is left is one line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import fsspec
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import StorageError
from pipeline.storage.failures import FAILURES, Doing, failure, is_transient
from pipeline.storage.traffic import count

T = TypeVar("T")

ATTEMPTS = 6
"""Tries per request: where one in 14 fails, one in seven million fails for good."""
WAIT_SECONDS = 0.1
WAIT_GROWTH = 3
MOST_WAIT_SECONDS = 8
"""Between tries: at most 0.1, 0.3, 0.9, 2.7 and 8 s, half of it on average. A first failure is most often chance."""
FIRST_SECONDS = 2
"""Without a sign of life the first try ends after 2 s, the next after 4, the sixth after 64: a stall costs seconds, a
store that answers within a minute is still heard, and one that never does is given up after two. Most answers come
within 0.2 s."""


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL that is not S3's, and the path in it."""
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise StorageError(f"cannot open {url}: {error}; use a local path, file:// or s3://") from error
    return fs, str(path)


def attempt(url: str, doing: Doing, action: Callable[[], T], *, size: int = 0) -> T:
    """`action()`, tried again while that may help. FileExistsError passes, any other failure is a StorageError.

    size: bytes that are to be written, for the user to read.
    """
    retrying = Retrying(**_policy())
    try:
        return retrying(action)
    except FileExistsError:
        raise
    except FAILURES as error:
        raise failure(url, doing, error, tries=_tries(retrying), size=size) from error


async def attempt_async(
    url: str,
    doing: Doing,
    action: Callable[[float], Awaitable[T]],
    *,
    size: int = 0,
    passing: type[OSError] = FileExistsError,
) -> T:
    """The same for a coroutine that gets the seconds it may wait for a sign of life. passing: what comes as it is."""
    retrying = AsyncRetrying(**_policy())

    async def once() -> T:
        return await action(FIRST_SECONDS * 2 ** (_tries(retrying) - 1))

    try:
        return await retrying(once)
    except passing:
        raise
    except FAILURES as error:
        raise failure(url, doing, error, tries=_tries(retrying), size=size) from error


def _policy() -> dict[str, Any]:
    return {
        "stop": stop_after_attempt(ATTEMPTS),
        "wait": wait_random_exponential(multiplier=WAIT_SECONDS, exp_base=WAIT_GROWTH, max=MOST_WAIT_SECONDS),
        "retry": retry_if_exception(is_transient),
        "before_sleep": lambda _: count(retries=1),
        "reraise": True,
    }


def _tries(retrying: Retrying | AsyncRetrying) -> int:
    """The number of the try that is under way."""
    return int(retrying.statistics["attempt_number"])

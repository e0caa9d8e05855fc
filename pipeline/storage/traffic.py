"""What reading asked of stores: requests, bytes that came, and tries that had to be made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class Traffic:
    """Retries cannot be reproduced: none of this may enter what a data set is."""

    requests: int = 0
    """Ranges that were fetched, near ones as one, each counted once however often it was tried."""
    bytes: int = 0
    """That came with them, gaps between near ranges too."""
    retries: int = 0
    """Failed tries, of any request, that were followed by another."""


_LOCK = Lock()
_COUNTING: ContextVar[tuple[Traffic, ...]] = ContextVar("_COUNTING", default=())
"""A request counts for whoever began it, also where another thread serves it: its task takes this along."""


@contextmanager
def counted() -> Iterator[Traffic]:
    """Counts what is begun inside, other threads' own work not; put no `yield` of a generator inside."""
    traffic = Traffic()
    token = _COUNTING.set((*_COUNTING.get(), traffic))
    try:
        yield traffic
    finally:
        _COUNTING.reset(token)


def count(*, requests: int = 0, num_bytes: int = 0, retries: int = 0) -> None:
    """Adds to what is being counted."""
    with _LOCK:
        for traffic in _COUNTING.get():
            traffic.requests += requests
            traffic.bytes += num_bytes
            traffic.retries += retries

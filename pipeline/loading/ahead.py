"""Reading ahead: what an iterator would give next is worked out while the trainer has the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order; one thread keeps up to `depth` of them ready. An error comes in its place."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="lodepack-loading")
    end = object()
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]  # it is a T: the end was asked for above
    finally:
        thread.shutdown(cancel_futures=True)

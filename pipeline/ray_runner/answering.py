"""Questions to Ray that know no deadline, given one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from pipeline.errors import StorageError

ANSWER_SECONDS = 60.0
"""A cluster is given so long to answer, or as long as nothing may move in the job: every node may be busy."""

Answer = TypeVar("Answer")


class StalledError(StorageError):
    """Nothing has moved for as long as the job allows."""


def answered(ask: Callable[[], Answer], stall_seconds: float = 0) -> Answer:
    """What `ask` returns, or raises. StalledError if it does neither in time.

    Another thread waits for Ray, and is left behind: its calls to the head node are repeated for ever, in code that
    no signal ends.
    """
    seconds = max(ANSWER_SECONDS, stall_seconds)
    answer: Future[Answer] = Future()

    def call() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True, name="lodepack-question").start()
    if not wait([answer], seconds).done:
        raise StalledError(f"the cluster has not answered for {seconds:.0f} s; see limits.stall_seconds")
    return answer.result()

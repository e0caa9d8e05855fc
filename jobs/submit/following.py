"""A submission followed to its end: its log line by line, once, whatever happens to the connection meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import StorageError

if TYPE_CHECKING:
    from pipeline.ray_runner.submitting import Head, Submission

AWAY_SECONDS = 300.0
"""A head that is away is waited for: one that Kubernetes starts anew is back by then."""
ASK_SECONDS = 2.0
STOP_SECONDS = 90.0
"""Three times what a driver gets to end by itself."""

Answer = TypeVar("Answer")
Say = Callable[[str], None]


def follow(head: Head, submission_id: str, show: Say, notice: Say) -> Submission:
    """Gives `show` the log as it comes, and returns the submission when it has ended.

    StorageError if the head is away for too long, or has forgotten it.
    """
    log = _Log(show)
    while True:
        log.rewind()
        for piece in head.tail(submission_id):
            log.take(piece)
        found = state(head, submission_id, notice)
        if found.has_ended:
            with suppress(StorageError):  # the log is gone with the node that had it
                log.rewind()
                log.take(head.log(submission_id))
            return found
        time.sleep(ASK_SECONDS)


def stop(head: Head, submission_id: str, notice: Say) -> Submission:
    """Ends a submission and waits until it has ended. StorageError if it has not in time."""
    head.stop(submission_id)
    latest = time.monotonic() + STOP_SECONDS
    while not (found := state(head, submission_id, notice)).has_ended:
        if time.monotonic() > latest:
            raise StorageError(
                f"{submission_id} was asked to end and has not in {STOP_SECONDS:.0f} s; look at {head.address}"
            )
        time.sleep(0.5)
    return found


def state(head: Head, submission_id: str, notice: Say) -> Submission:
    """The submission as it is now. A head that is away is waited for."""
    from pipeline.ray_runner.submitting import UnreachableError

    latest = time.monotonic() + AWAY_SECONDS
    is_told = False
    while True:
        try:
            found = head.get(submission_id)
        except UnreachableError as error:
            if time.monotonic() > latest:
                raise StorageError(
                    f"{head.address} has been away for {AWAY_SECONDS:.0f} s; submit again when it is back: what a "
                    "build committed is kept"
                ) from error
            if not is_told:
                notice(f"{head.address} is away; waiting up to {AWAY_SECONDS:.0f} s for it")
            is_told = True
            time.sleep(ASK_SECONDS)
            continue
        if found is None:
            raise StorageError(
                f"the head at {head.address} knows no {submission_id} any more, as after a new start; submit again: "
                "what a build committed is kept"
            )
        return found


class _Log:
    """Shows each letter of a log once, however often the log is told from its beginning."""

    def __init__(self, show: Say) -> None:
        self._show = show
        self._num_shown = self._place = 0

    def rewind(self) -> None:
        self._place = 0

    def take(self, piece: str) -> None:
        fresh = piece[max(0, self._num_shown - self._place) :]
        self._place += len(piece)
        if fresh:
            self._num_shown = self._place
            self._show(fresh)

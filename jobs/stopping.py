"""SIGTERM, by which a scheduler or a preempted machine asks a run to end, and Ctrl-C: both unwind a run cleanly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGINT: "stopped"}


class Stopped(BaseException):
    """A signal came. No failure: units that are whole are committed, the others run again.

    No KeyboardInterrupt, which the libraries of command lines end by themselves and without a word.
    """

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALS[signal.Signals(number)])
        self.exit_code = 128 + number


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Raises Stopped in the main thread at the first of SIGNALS. A second SIGTERM does not disturb what then unwinds.

    Nested, the inner one takes the signals back from a library that took them in between, as Ray does when it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _stop:  # after a signal its successor stays to the end
                signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise Stopped(number)

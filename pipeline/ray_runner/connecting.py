"""A connection to Ray: made, given up and made anew; and what Ray says turned down."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.data import DataContext

from pipeline.errors import StorageError

BLOCK_BYTES = 4 << 20
"""Blocks are handed on once they hold this much: a shard then feeds several actors, and the next pool starts early."""
KNOCK_SECONDS = 10
LEAVE_SECONDS = 30.0

# A fork that collects Ray's handles gives them back over the connections of its parent, which then hears nothing from
# the head node until gRPC tries another: for 7 minutes. What a parent holds is nothing that its forks collect.
os.register_at_fork(after_in_child=gc.freeze)


class Cluster:
    """A connection to Ray."""

    def __init__(self, address: str | None) -> None:
        """Uses the connection that is there already and leaves it open; otherwise makes one, to `address`,
        to RAY_ADDRESS, or to a new cluster on this machine that ends with us. StorageError if nobody answers there.
        """
        self._address = address
        self.puller: threading.Thread | None = None
        """Whoever waits for the tables of a round."""
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(address)

    def close(self) -> None:
        if self._is_ours:
            ray.shutdown()

    def restart(self) -> bool:
        """Gives up every actor and task that this connection has and makes another; False if it is not ours."""
        if self._is_ours:
            ray.shutdown()
            if self.puller is not None:
                self.puller.join(LEAVE_SECONDS)  # it still speaks to the cluster that is gone
            _connect(self._address)
        return self._is_ours


@contextmanager
def cluster(address: str | None, *, show_progress: bool) -> Iterator[Cluster]:
    """The Cluster at `address`, with Ray's own talk turned down, for the length of a block."""
    connection = Cluster(address)
    context = DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = show_progress and sys.stderr.isatty()
    # Ray's bars through rich, which we have; its default needs tqdm, which we have not, and shows nothing without it.
    context.enable_rich_progress_bars, context.use_ray_tqdm = True, False
    context.print_on_execution_start = False
    # Ray Data 2.60's own choice asks its coordinator for sums of actors, is given whole CPUs and GPUs beside them, and
    # forgets the rest: of one GPU four actors of 0.25 had 0.25, and the other three never started. V2 asks for nodes.
    os.environ.setdefault("RAY_DATA_CLUSTER_AUTOSCALER", "V2")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors come to the user from us, in one line
    # max_restarts and max_task_retries have no other way in; the dependency is held below the release without it.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    # Of an input too small to keep every actor busy, which is nobody's mistake.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")
    try:
        yield connection
    finally:
        connection.close()


def _connect(address: str | None) -> None:
    # At any lower level Ray's C++ warns on standard error that its own constructor arguments lie in its own store.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # CPUs are shares here, not cores: on a single one the smallest pools and a reader still find their places.
        options |= {"include_dashboard": False, "num_cpus": max(2, os.cpu_count() or 2)}
    try:
        if address:
            _knock(address)
        before = signal.getsignal(signal.SIGTERM)
        with _no_stderr():
            ray.init(address=address, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own handler exits without a word
    except (OSError, RuntimeError, ValueError) as error:
        where = f"cluster at {address}" if address else "a cluster on this machine"
        # Of a token that is missing or wrong Ray says nothing.
        check = "check --address and the cluster's token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN), or " if address else ""
        raise StorageError(f"cannot reach {where}: {last_line(error)}; {check}run with --local") from error


def _knock(address: str) -> None:
    """OSError at once where nobody listens: ray.init would try for ten minutes and say nothing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Drops what C++ writes to standard error while Ray starts: that it read the variable set above."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted, not a path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def last_line(error: BaseException) -> str:
    """The end of an error's text, without the causes that Ray goes on to guess at."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].partition(". ")[0]

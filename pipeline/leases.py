"""Who is at work in an output: a run that builds in it, or a prune that removes from it. Never both.

Each writes a lease of its own first and then looks for the other's, so that of two that start together at least one
sees the other and stops. A lease is renewed while its process lives and removed at its end. That of a killed process
counts no longer: on its own host at once, as nobody has its number, elsewhere when it is EXPIRES_SECONDS old.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline import storage
from pipeline.errors import LodepackError, StorageError

RUNNING = "runs/running"
PRUNING = "runs/pruning"
RENEW_SECONDS = 60.0
EXPIRES_SECONDS = 1800.0
"""Thirty renewals: clocks that differ by minutes and a store that is away for some must not look like a death."""


class Lease:
    """One process's word that it is at work."""

    def __init__(self, output: str, folder: str) -> None:
        self._output = output
        self._path = f"{folder}/{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        self._renewed = 0.0

    def renew(self) -> None:
        """StorageError if it could not be written."""
        began = time.time()  # of the day, which goes on while a machine sleeps
        storage.overwrite(self._output, self._path, b"")
        self._renewed = began

    def end(self) -> None:
        storage.remove(storage.join(self._output, self._path))

    def check(self) -> None:
        """StorageError if others may soon take the lease for a dead process's: its machine slept, or its store did."""
        if time.time() - self._renewed > EXPIRES_SECONDS / 2:
            raise StorageError(f"{self._output}: the lease {self._path} could not be renewed in time; run again")


@contextmanager
def holding(output: str, folder: str, against: str) -> Iterator[Lease]:
    """Inside, this process has a lease in `folder`. StorageError if another has one in `against`.

    folder, against: RUNNING and PRUNING, or the other way round.
    """
    lease = Lease(output, folder)
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(LodepackError):  # the next try is a minute away, and `check` knows how long it has been
                lease.renew()

    keeper = threading.Thread(target=keep, daemon=True)
    try:
        lease.renew()
        refuse_others(output, against)
        keeper.start()
        yield lease
    finally:
        ended.set()
        if keeper.is_alive():
            keeper.join(timeout=10)  # one that a store holds up longer writes a lease of a dead process
        with suppress(LodepackError):  # it expires
            lease.end()


def refuse_others(output: str, against: str) -> None:
    """StorageError if a process that may be alive has a lease in the folder `against`."""
    for file in storage.list_files(storage.join(output, against)):
        name = file.url.rpartition("/")[2]
        age = max(0.0, time.time() - file.changed)
        if age < EXPIRES_SECONDS and _may_be_alive(name):
            host, pid, _ = name.rsplit(".", 2)
            at_work = "pruned" if against == PRUNING else "built"
            raise StorageError(
                f"{output} is being {at_work} by process {pid} of {host}, which said so {age:.0f} seconds ago; wait "
                f"for its end (if it was killed on another host, {EXPIRES_SECONDS / 60:.0f} minutes), and try again"
            )


def _may_be_alive(name: str) -> bool:
    """Whether a lease of this name may be a living process's; what has no name of ours is nobody's."""
    if name.count(".") < 2:
        return False
    return storage.is_in_use(name) or name.rsplit(".", 2)[0] != socket.gethostname()

"""Drives the chain in several processes of this machine, without Ray: each reads whole shards and writes whole files.

Rows of a shard stay in the process that read it until they are measured, a few kilobytes a sample; they come here to be
packed. Files are written before further shards are read, so that no more units are open than processes need.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.chain import Chain
from pipeline.errors import LodepackError, RefusedError, StorageError
from pipeline.local_worker import MAX_ATTEMPTS, PACK, Kind, Order, ReadShard, WriteFiles
from pipeline.monitor import Monitor, Telling, Work, place_of
from pipeline.operator import Gatherer
from pipeline.types import Unit

POLL_SECONDS = 1.0


def num_processes(units: Sequence[Unit], small_bytes: int) -> int:
    """How many processes a local run takes: one for less than `small_bytes`, otherwise as many as there are cores."""
    size = 0
    for shard in (shard for unit in units for shard in unit.shards):
        size += storage.size_of(shard.url)
        if size >= small_bytes:
            return len(os.sched_getaffinity(0))
    return 1


@dataclass(slots=True)
class _Open:
    """A unit that is not done, and the try that it is in."""

    unit: Unit
    pack: Gatherer
    shards: deque[int]
    """Those that no process was told to read yet."""
    tasks: deque[pa.Table] = field(default_factory=deque)
    orders: int = 0
    """That are being carried out, of this try."""
    attempt: int = 1

    @property
    def is_done(self) -> bool:
        return not self.shards and not self.tasks and not self.orders


class _Process:
    """One process, and the order that it carries out."""

    def __init__(self, name: str, chain: Chain) -> None:
        ours, theirs = socket.socketpair()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",  # there are as many processes as cores
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.local_process", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us; it ends when our end of the socket closes
            )
        self.name = name
        self.connection = Connection(ours.detach())
        self.connection.send(chain)
        self.work: tuple[_Open, int] | None = None
        """The unit of its order, and the try."""

    def begin(self, order: Order, unit: _Open) -> None:
        self.work = (unit, unit.attempt)
        unit.orders += 1
        with suppress(ConnectionError):  # it is dead, which is heard of when it should answer
            self.connection.send(order)

    def end(self) -> str:
        """Kills it, if it lives, and says how it ended."""
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def run_workers(
    chain: Chain,
    units: Sequence[Unit],
    num_workers: int,
    on_progress: Callable[[str, int], None],
    on_notice: Callable[[str], None],
    on_work: Callable[[Work], None],
) -> Generator[pa.Table]:
    """The reports of `write` for all units, as they come. As run_local, in so many processes."""
    run = _Run(chain, units, on_progress, on_notice)
    try:
        with _processes(chain, num_workers) as processes:
            while not run.is_done:
                run.give_orders(processes)
                yield from run.hear(processes)
    finally:
        on_work(run.monitor.news()[0])


@contextmanager
def _processes(chain: Chain, count: int) -> Iterator[list[_Process]]:
    processes: list[_Process] = []
    try:
        for number in range(count):
            processes.append(_Process(f"process {number + 1} of this run", chain))
        yield processes
    finally:
        for process in processes:
            process.end()


class _Run:
    """The units of a run, in order, and what came of them so far."""

    def __init__(
        self,
        chain: Chain,
        units: Sequence[Unit],
        on_progress: Callable[[str, int], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self.monitor = Monitor()
        self._chain = chain
        self._on_progress, self._on_notice = on_progress, on_notice
        self._waiting = deque(units)
        self._open: list[_Open] = []
        self._telling = Telling(PACK, self.monitor.begin, self.monitor.end)

    @property
    def is_done(self) -> bool:
        return not self._waiting and not self._open

    def give_orders(self, processes: Sequence[_Process]) -> None:
        for process in processes:
            if process.work is None and (found := self._next_order()) is not None:
                process.begin(*found)

    def _next_order(self) -> tuple[Order, _Open] | None:
        for unit in self._open:
            if unit.tasks:
                return WriteFiles(unit.tasks.popleft()), unit
        for unit in self._open:
            if unit.shards:
                return ReadShard(unit.unit, unit.shards.popleft()), unit
        if not self._waiting:
            return None
        self._open.append(self._begun(self._waiting.popleft()))
        return self._next_order()

    def _begun(self, unit: Unit) -> _Open:
        return _Open(unit, self._chain.pack([unit]), deque(range(len(unit.shards))))

    def hear(self, processes: list[_Process]) -> Iterator[pa.Table]:
        """Reports that came, after a wait for any message."""
        by_connection = {process.connection: process for process in processes}
        for connection in wait(list(by_connection), POLL_SECONDS):
            process = by_connection[connection]  # type: ignore[index]
            try:
                yield from self._take(process, *process.connection.recv())
            except (EOFError, ConnectionError):
                self._replace(processes, process, f"{process.name} ended by {process.end()}")
        stall = self.monitor.stall(self._chain.stall_seconds)
        if stall is not None:
            for process in [one for one in processes if one.work is not None]:
                process.end()
                self._replace(processes, process, f"{stall}; see limits.stall_seconds")
            self.monitor.beat()

    def _replace(self, processes: list[_Process], process: _Process, why: str) -> None:
        """Another process in place of one that is dead."""
        self.monitor.end(process.name, 0, 0.0)
        work = process.work
        processes[processes.index(process)] = _Process(process.name, self._chain)
        if work is not None:
            self._fail(*work, StorageError(why))

    def _take(self, process: _Process, kind: Kind, content: tuple[Any, ...]) -> Iterator[pa.Table]:
        """What one message brings; reports are handed on."""
        if kind == "begin":
            self.monitor.begin(process.name, *content)
        elif kind == "end":
            self.monitor.end(process.name, *content)
        elif kind == "beat":
            self.monitor.beat()
        elif kind == "rows":
            self._on_progress(*content)
        elif kind == "mistake":
            raise RuntimeError(*content)
        elif process.work is not None:
            unit, attempt = process.work
            if kind in ("done", "error"):
                process.work = None
            if attempt == unit.attempt:  # otherwise it is of a try that was given up meanwhile
                yield from self._go_on(unit, kind, *content)

    def _go_on(self, unit: _Open, kind: Kind, content: Any = None) -> Iterator[pa.Table]:
        if kind == "measured":
            unit.tasks += self._pack(unit, content)
        elif kind == "reports":
            yield content
        elif kind == "error":
            self._fail(unit, unit.attempt, content)
        else:
            unit.orders -= 1
            if unit.is_done:
                self._open.remove(unit)

    def _pack(self, unit: _Open, rows: pa.Table) -> list[pa.Table]:
        self._telling.begin(PACK, place_of(rows))
        found = list(unit.pack(rows))
        self._telling.end(rows.num_rows)
        for tasks in found:
            self._on_progress(PACK, tasks.num_rows)
        return found

    def _fail(self, unit: _Open, attempt: int, error: LodepackError) -> None:
        """Has a unit tried again from its start. Raises what no further try would mend."""
        if attempt < unit.attempt:
            return
        if attempt == MAX_ATTEMPTS or isinstance(error, RefusedError) or not isinstance(error, StorageError):
            raise error
        self._on_notice(f"unit {unit.unit.number} is tried again: {error}")
        self._open[self._open.index(unit)] = again = self._begun(unit.unit)
        unit.attempt, again.attempt = attempt + 1, attempt + 1

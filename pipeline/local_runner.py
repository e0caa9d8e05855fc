"""Drives the chain in this process, shard by shard, without Ray."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from pipeline.chain import Chain
from pipeline.errors import RefusedError, StorageError
from pipeline.monitor import Monitor, place_of
from pipeline.operator import Operator
from pipeline.types import Unit

MAX_ATTEMPTS = 3
"""Times that a unit is tried before its StorageError ends the run."""


POLL_SECONDS = 0.5
"""How often a watchdog looks, at least."""


def run_local(
    chain: Chain,
    units: Sequence[Unit],
    on_progress: Callable[[str, int], None],
    on_notice: Callable[[str], None],
) -> Generator[pa.Table]:
    """The reports of `write` for all units, in order. on_progress hears of each operator and its rows.

    A unit on which storage fails, or in which nothing moves any more, is tried again from its start, and on_notice
    hears why; the reports that it gave before are given again.
    """
    monitor = Monitor()
    operators = [(stage.name, stage.build(monitor.beat)) for stage in chain.stages]
    write = chain.write.build(monitor.beat)
    with _watchdog(monitor, chain.stall_seconds):
        for unit in units:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    yield from _run_unit(chain, unit, operators, write, monitor, on_progress)
                except StorageError as error:
                    if attempt == MAX_ATTEMPTS or isinstance(error, RefusedError):
                        raise
                    on_notice(f"unit {unit.number} is tried again: {error}")
                else:
                    break


def write_local(
    chain: Chain,
    tables: Sequence[pa.Table],
    on_progress: Callable[[str, int], None],
    on_notice: Callable[[str], None],
) -> Generator[pa.Table]:
    """The reports of `write` for tasks that are there already. StorageError after MAX_ATTEMPTS of one of them."""
    monitor = Monitor()
    write = chain.write.build(monitor.beat)
    with _watchdog(monitor, chain.stall_seconds):
        for tasks in tables:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    reports = _run(chain.write.name, write, tasks, monitor, on_progress)
                except StorageError as error:
                    if attempt == MAX_ATTEMPTS or isinstance(error, RefusedError):
                        raise
                    on_notice(f"a closing unit is tried again: {error}")
                else:
                    yield reports
                    break


def _run_unit(
    chain: Chain,
    unit: Unit,
    operators: Sequence[tuple[str, Operator]],
    write: Operator,
    monitor: Monitor,
    on_progress: Callable[[str, int], None],
) -> Generator[pa.Table]:
    pack = chain.pack([unit])
    for number, shard in enumerate(unit.shards):
        monitor.begin("read", "read", f"unit {unit.number}, {shard.name}")
        for table in chain.read(unit, number):
            monitor.end("read", table.num_rows)
            rows = table
            on_progress("read", rows.num_rows)
            for name, operator in operators:
                rows = _run(name, operator, rows, monitor, on_progress)
            for tasks in pack(rows):
                on_progress("pack", tasks.num_rows)
                yield _run(chain.write.name, write, tasks, monitor, on_progress)
            monitor.begin("read", "read", f"unit {unit.number}, {shard.name} behind {place_of(table)}")
        monitor.end("read", 0)


def _run(
    name: str, operator: Operator, table: pa.Table, monitor: Monitor, on_progress: Callable[[str, int], None]
) -> pa.Table:
    monitor.begin(name, name, place_of(table))
    found = operator(table)
    monitor.end(name, found.num_rows)
    on_progress(name, found.num_rows)
    return found


@contextmanager
def _watchdog(monitor: Monitor, stall_seconds: float) -> Iterator[None]:
    """StorageError in the main thread, wherever it stands, once nothing has moved for so long.

    Beyond its reach: C code that never gives the interpreter back (pictures are decoded in a child for that reason),
    and a run that is not in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stalls: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(min(POLL_SECONDS, stall_seconds)):
            stall = monitor.stall(stall_seconds)
            if stall is not None:
                monitor.beat()
                stalls.append(stall)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)

    def raise_stall(*_: object) -> None:
        raise StorageError(f"{stalls[-1]}; see limits.stall_seconds")

    before = signal.signal(signal.SIGUSR2, raise_stall)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGUSR2, before)

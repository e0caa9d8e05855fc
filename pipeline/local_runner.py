"""Drives the chain in this process alone, shard by shard, without Ray."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from pipeline.chain import Chain
from pipeline.errors import RefusedError, StorageError
from pipeline.local_worker import MAX_ATTEMPTS, PACK, Worker
from pipeline.monitor import Monitor, Telling, Work, place_of
from pipeline.types import Unit

POLL_SECONDS = 0.5
"""How often a watchdog looks, at least."""


def run_local(
    chain: Chain,
    units: Sequence[Unit],
    on_progress: Callable[[str, int], None],
    on_notice: Callable[[str], None],
    on_work: Callable[[Work], None],
) -> Generator[pa.Table]:
    """The reports of `write` for all units, in order. on_progress hears of each operator and its rows.

    A unit on which storage fails, or in which nothing moves any more, is tried again from its start, and on_notice
    hears why; the reports that it gave before are given again. on_work hears at the end, whichever it is, what each
    operator did.
    """
    monitor = Monitor()
    telling = Telling("this process", monitor.begin, monitor.end)
    worker = Worker(chain, telling, monitor.beat, on_progress)
    with _working(monitor, chain.stall_seconds, on_work):
        for unit in units:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    yield from _run_unit(chain, unit, worker, telling, on_progress)
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
    on_work: Callable[[Work], None],
) -> Generator[pa.Table]:
    """The reports of `write` for tasks that are there already. StorageError after MAX_ATTEMPTS of one of them."""
    monitor = Monitor()
    telling = Telling("this process", monitor.begin, monitor.end)
    writer = Worker(replace(chain, stages=()), telling, monitor.beat, on_progress)
    with _working(monitor, chain.stall_seconds, on_work):
        for tasks in tables:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    reports = writer.write(tasks)
                except StorageError as error:
                    if attempt == MAX_ATTEMPTS or isinstance(error, RefusedError):
                        raise
                    on_notice(f"a closing unit is tried again: {error}")
                else:
                    yield reports
                    break


def _run_unit(
    chain: Chain, unit: Unit, worker: Worker, telling: Telling, on_progress: Callable[[str, int], None]
) -> Generator[pa.Table]:
    pack = chain.pack([unit])
    for shard in range(len(unit.shards)):
        for rows in worker.read(unit, shard):
            telling.begin(PACK, place_of(rows))
            for tasks in pack(rows):
                telling.end(0)
                on_progress(PACK, tasks.num_rows)
                yield worker.write(tasks)
                telling.begin(PACK, place_of(rows))
            telling.end(rows.num_rows)


@contextmanager
def _working(monitor: Monitor, stall_seconds: float, on_work: Callable[[Work], None]) -> Iterator[None]:
    """Work that a watchdog looks after, and of which on_work hears at the end."""
    try:
        with _watchdog(monitor, stall_seconds):
            yield
    finally:
        on_work(monitor.news()[0])


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

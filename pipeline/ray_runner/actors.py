"""What runs in Ray's workers: operators in pools, the one packer, and their word to the run's monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import ray

from pipeline.chain import Chain, Stage
from pipeline.heap import keep_heap
from pipeline.local_worker import ShardReader
from pipeline.monitor import Telling, place_of
from pipeline.operator import Operator
from pipeline.types import Unit

READ, PACK = "read", "pack"
SAY_SECONDS = 0.1
"""Between two messages of an actor to the monitor, where its operators are quicker than that."""
HAND_OVER_SECONDS, HAND_OVER_BYTES = 0.5, 1 << 20
"""A reader's rows are handed on once they have waited so long or are so many: pictures are not among them."""
BEAT_SECONDS = 1.0
"""A long table sends no more beats than one in so long."""


class Told(Telling):
    """Tells the run's monitor what this process holds. Nobody waits for the monitor, and it may be gone."""

    def __init__(self, monitor: Any, begin: Callable[..., object], end: Callable[..., object]) -> None:
        worker = ray.get_runtime_context().get_actor_id() or f"task {ray.get_runtime_context().get_task_id()}"
        super().__init__(worker, begin, end)
        self._monitor = monitor
        self._beaten = time.monotonic()

    def open(self, unit: int) -> None:
        self._monitor.open.remote(unit)

    def beat(self) -> None:
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            self._monitor.beat.remote()


def telling_at_once(monitor: Any) -> Told:
    """For a task, which leaves nothing behind in its process."""
    return Told(monitor, monitor.begin.remote, monitor.end.remote)


class ToldTogether(Told):
    """For an actor: what is to be told goes together, as late as after SAY_SECONDS.

    A message for each table and operator took a tenth of a core where pictures are only looked at. Another thread sends
    them: whoever never comes back from an operator has told that it is in there.
    """

    def __init__(self, monitor: Any) -> None:
        self._words: list[tuple[str, tuple[Any, ...]]] = []
        self._lock = threading.Lock()
        super().__init__(monitor, partial(self._add, "begin"), partial(self._add, "end"))
        threading.Thread(target=self._keep_saying, daemon=True, name="lodepack-told").start()

    def say(self) -> None:
        """Sends what is left: the caller is done, and may be ended before the thread comes to it."""
        with self._lock:
            words, self._words = self._words, []
            if words:
                self._monitor.hear.remote(words)

    def _add(self, what: str, *content: Any) -> None:
        with self._lock:
            self._words.append((what, content))

    def _keep_saying(self) -> None:
        while True:
            time.sleep(SAY_SECONDS)
            self.say()


class Operators:
    """A pool's actor: makes its operators once, then maps tables."""

    def __init__(self, monitor: Any, stages: Sequence[Stage]) -> None:
        keep_heap()
        self._told = ToldTogether(monitor)
        self._operators: list[tuple[str, Operator]] = [(stage.name, stage.build(self._told.beat)) for stage in stages]

    def __call__(self, table: pa.Table) -> pa.Table:
        for name, operator in self._operators:
            self._told.begin(name, place_of(table))
            table = operator(table)
            self._told.end(table.num_rows)
        self._told.say()
        return table


class Readers:
    """The first pool's actor where it reads the shards too: the encoded pictures never leave it."""

    def __init__(self, monitor: Any, chain: Chain, stages: Sequence[Stage], units: Sequence[Unit]) -> None:
        keep_heap()
        self._told = ToldTogether(monitor)
        self._units = units
        self._reader = ShardReader(chain.read, stages, self._told, self._told.beat, lambda *_: None)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for item in table.to_pylist():
            unit = self._units[item["unit"]]
            self._told.open(unit.number)
            yield from _together(self._reader.read(unit, item["shard"]))
        self._told.say()


def _together(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables as larger ones, none much later than HAND_OVER_SECONDS: Ray's own work is by the table."""
    held: list[pa.Table] = []
    size, since = 0, time.monotonic()
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size > HAND_OVER_BYTES or time.monotonic() - since > HAND_OVER_SECONDS:
            yield pa.concat_tables(held)
            held, size, since = [], 0, time.monotonic()
    if held:
        yield pa.concat_tables(held)


class Packer:
    """The one actor of `pack`."""

    def __init__(self, monitor: Any, chain: Chain, units: Sequence[Unit]) -> None:
        self._told = ToldTogether(monitor)
        self._pack = chain.pack(units)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        self._told.begin(PACK, place_of(table))
        for tasks in self._pack(table):
            self._told.end(0)  # until the next is asked for, it waits for others
            yield tasks
            self._told.begin(PACK, place_of(table))
        self._told.end(table.num_rows)
        self._told.say()

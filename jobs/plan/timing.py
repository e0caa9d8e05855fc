"""CPU and wall seconds of each operator of a chain, shard by shard, while the local runner drives it."""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.chain import Chain, Stage
from pipeline.monitor import Beat
from pipeline.operator import Gatherer, Operator
from pipeline.types import Unit

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BUILDING = -1
"""The unit number of what is spent before the first one: models are loaded then."""

Hear = Callable[[Unit, pa.Table], None]


@dataclass(slots=True)
class Clock:
    """Seconds by unit number and operator. Units run one after the other: `read` says whose turn it is."""

    unit: int = BUILDING
    cpu: dict[tuple[int, str], float] = field(default_factory=lambda: defaultdict(float))
    """Of this process and its children, among them those that decode and draw pictures."""
    wall: dict[tuple[int, str], float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def spent(self, operator: str) -> Iterator[None]:
        """Adds what the block takes to the operator's seconds."""
        cpu, wall = cpu_seconds(), time.monotonic()
        try:
            yield
        finally:
            self.cpu[self.unit, operator] += max(0.0, cpu_seconds() - cpu)
            self.wall[self.unit, operator] += time.monotonic() - wall


def cpu_seconds() -> float:
    """Of this process, the children that it has waited for, and, where the system tells, those that are alive."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(_alive_seconds, _children()))


def _children() -> list[str]:
    try:
        return [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
    except OSError:  # no such file outside Linux, or a thread that ended meanwhile
        return []


def _alive_seconds(pid: str) -> float:
    """CPU seconds of a living child and of the children that it has waited for; 0 if it has ended."""
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND


def timed(chain: Chain, clock: Clock, hear: Hear) -> Chain:
    """The same chain, whose operators the clock measures. hear: gets each unit's tables as they were read."""
    return replace(
        chain,
        read=partial(_read, chain, clock, hear),
        stages=tuple(_timed_stage(stage, clock) for stage in chain.stages),
        pack=partial(_timed_pack, chain, clock),
        write=_timed_stage(chain.write, clock),
    )


def _read(chain: Chain, clock: Clock, hear: Hear, unit: Unit, number: int) -> Iterator[pa.Table]:
    clock.unit = unit.number
    tables = iter(chain.read(unit, number))
    while True:
        with clock.spent("read"):
            table = next(tables, None)
        if table is None:
            return
        hear(unit, table)
        yield table


def _timed_stage(stage: Stage, clock: Clock) -> Stage:
    def build(beat: Beat) -> Operator:
        with clock.spent(stage.name):
            return _Timed(stage.build(beat), stage.name, clock)

    return replace(stage, build=build)


def _timed_pack(chain: Chain, clock: Clock, units: Sequence[Unit]) -> Gatherer:
    return _TimedPack(chain.pack(units), clock)


class _Timed:
    """An operator and its clock."""

    def __init__(self, operator: Operator, name: str, clock: Clock) -> None:
        self._operator, self._clock = operator, clock
        self.name, self.version = name, operator.version

    def __call__(self, table: pa.Table) -> pa.Table:
        with self._clock.spent(self.name):
            return self._operator(table)


class _TimedPack:
    """The gatherer and its clock."""

    name = "pack"

    def __init__(self, gatherer: Gatherer, clock: Clock) -> None:
        self._gatherer, self._clock = gatherer, clock
        self.version = gatherer.version

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        with self._clock.spent(self.name):
            tasks = list(self._gatherer(table))
        yield from tasks

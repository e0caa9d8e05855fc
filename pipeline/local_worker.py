"""What a local run does with shards and files, in its own process or in others that it starts, and orders to these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from pipeline.chain import Chain, Stage
from pipeline.monitor import Beat, Telling, place_of
from pipeline.operator import Operator
from pipeline.types import Unit

READ, PACK = "read", "pack"
ROWS = 32
"""Rows that go through the operators together: small pictures of so many take 80 MB, where text is looked for."""
MAX_ATTEMPTS = 3
"""Times that a unit is tried in a local run before its StorageError ends the run."""
Kind = Literal["begin", "end", "rows", "beat", "measured", "reports", "done", "error", "mistake"]
"""What a message is. begin, end and beat: for the Monitor; rows: that left an operator; measured and reports: tables
that were asked for; done: the order is carried out; error: one of ours ended it; mistake: a traceback of one."""


@dataclass(frozen=True, slots=True)
class ReadShard:
    """An order to read a shard of a unit and map its rows."""

    unit: Unit
    shard: int


@dataclass(frozen=True, slots=True)
class WriteFiles:
    """An order to write what a table of tasks asks for."""

    tasks: pa.Table


Order = ReadShard | WriteFiles


class ShardReader:
    """Reads shards and maps their rows; makes its operators once."""

    def __init__(
        self,
        read: Callable[[Unit, int], Iterator[pa.Table]],
        stages: Sequence[Stage],
        telling: Telling,
        beat: Beat,
        on_progress: Callable[[str, int], None],
    ) -> None:
        """on_progress hears of each operator and its rows."""
        self._read_shard, self._telling, self._on_progress = read, telling, on_progress
        self._operators = [(stage.name, stage.build(beat)) for stage in stages]

    def read(self, unit: Unit, shard: int) -> Iterator[pa.Table]:
        """The rows of a shard of a unit, by its number, as the last of the operators leaves them."""
        where = f"unit {unit.number}, {unit.shards[shard].name}"
        self._telling.begin(READ, where)
        for table in self._read_shard(unit, shard):
            self._end(READ, table)
            for start in range(0, table.num_rows, ROWS):
                rows = table.slice(start, ROWS)
                for name, operator in self._operators:
                    rows = self._run(name, operator, rows)
                yield rows
            self._telling.begin(READ, f"{where} behind {place_of(table)}")
        self._telling.end(0)

    def _run(self, name: str, operator: Operator, table: pa.Table) -> pa.Table:
        self._telling.begin(name, place_of(table))
        found = operator(table)
        self._end(name, found)
        return found

    def _end(self, name: str, table: pa.Table) -> None:
        self._telling.end(table.num_rows)
        self._on_progress(name, table.num_rows)


class Worker(ShardReader):
    """Reads shards and maps their rows, and writes files."""

    def __init__(self, chain: Chain, telling: Telling, beat: Beat, on_progress: Callable[[str, int], None]) -> None:
        super().__init__(chain.read, chain.stages, telling, beat, on_progress)
        self._name, self._write = chain.write.name, chain.write.build(beat)

    def write(self, tasks: pa.Table) -> pa.Table:
        """The reports of tasks."""
        return self._run(self._name, self._write, tasks)

"""Drives the chain in this process, shard by shard, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import pyarrow as pa

from pipeline.chain import Chain
from pipeline.errors import StorageError
from pipeline.operator import Operator
from pipeline.types import Unit

MAX_ATTEMPTS = 3
"""Times that a unit is tried before its StorageError ends the run."""


def run_local(chain: Chain, units: Sequence[Unit], on_progress: Callable[[str, int], None]) -> Generator[pa.Table]:
    """The reports of `write` for all units, in order. on_progress hears of each operator and its rows.

    A unit on which storage fails is tried again from its start; the reports that it gave before are given again.
    """
    operators = [(stage.name, stage.build()) for stage in chain.stages]
    write = chain.write.build()
    for unit in units:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                yield from _run_unit(chain, unit, operators, write, on_progress)
            except StorageError:
                if attempt == MAX_ATTEMPTS:
                    raise
            else:
                break


def write_local(
    chain: Chain, tables: Sequence[pa.Table], on_progress: Callable[[str, int], None]
) -> Generator[pa.Table]:
    """The reports of `write` for tasks that are there already. StorageError after MAX_ATTEMPTS of one of them."""
    write = chain.write.build()
    for tasks in tables:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                reports = write(tasks)
            except StorageError:
                if attempt == MAX_ATTEMPTS:
                    raise
            else:
                on_progress("write", tasks.num_rows)
                yield reports
                break


def _run_unit(
    chain: Chain,
    unit: Unit,
    operators: Sequence[tuple[str, Operator]],
    write: Operator,
    on_progress: Callable[[str, int], None],
) -> Generator[pa.Table]:
    pack = chain.pack([unit])
    for number in range(len(unit.shards)):
        for table in chain.read(unit, number):
            rows = table
            on_progress("read", rows.num_rows)
            for name, operator in operators:
                rows = operator(rows)
                on_progress(name, rows.num_rows)
            for tasks in pack(rows):
                on_progress("pack", tasks.num_rows)
                yield write(tasks)
                on_progress("write", tasks.num_rows)

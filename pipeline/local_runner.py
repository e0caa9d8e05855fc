"""Drives the chain in this process, shard by shard, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import pyarrow as pa

from pipeline.chain import Chain, read
from pipeline.types import Unit


def run_local(chain: Chain, units: Sequence[Unit], on_progress: Callable[[str, int], None]) -> Generator[pa.Table]:
    """The reports of `write` for all units, in order. on_progress hears of each operator and its rows."""
    operators = [(stage.name, stage.build()) for stage in chain.stages]
    write = chain.write.build()
    pack = chain.pack(units)
    for unit in units:
        for number in range(len(unit.shards)):
            for table in read(unit, number, chain.format, chain.max_member_bytes):
                rows = table
                on_progress("read", rows.num_rows)
                for name, operator in operators:
                    rows = operator(rows)
                    on_progress(name, rows.num_rows)
                for tasks in pack(rows):
                    on_progress("pack", tasks.num_rows)
                    yield write(tasks)
                    on_progress("write", tasks.num_rows)

"""A job as the runners see it: a reader, pools of operators, a gatherer and a writer, given to them as data.

`pipeline` knows no operator by name; `jobs` builds the chain, and either runner drives it to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline import storage
from pipeline.closing import Carried, Closing
from pipeline.formats import FORMATS
from pipeline.monitor import Beat
from pipeline.operator import Gatherer, Operator
from pipeline.read import read_shard
from pipeline.types import ReadLimits, Unit


@dataclass(frozen=True, slots=True)
class Pool:
    """What one pool of actors asks of the cluster."""

    cpus: float
    gpus: float
    min_actors: int
    max_actors: int
    batch_size: int
    """Rows per call. It changes no byte."""


@dataclass(frozen=True, slots=True)
class Node:
    """What one machine offers."""

    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Stage:
    """One operator: its name, how an actor makes it (small arguments, models loaded there), and its pool.

    pool None: it shares the actors of the stage before it.
    """

    name: str
    build: Callable[[Beat], Operator]
    """Given what the operator calls while it works long on one table."""
    pool: Pool | None


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything a runner needs beside the units."""

    read: Callable[[Unit, int], Iterator[pa.Table]]
    """The rows of one shard of a unit, by its number, in small tables."""
    read_cpus: float
    """CPUs kept for reading: without them a full set of actors starves its own input. 0: the first pool reads."""
    stages: tuple[Stage, ...]
    pack: Callable[[Sequence[Unit]], Gatherer]
    pack_pool: Pool
    close: Callable[[Closing, Carried], Iterator[pa.Table]]
    """The tasks of a closing unit."""
    write: Stage
    stall_seconds: float
    """A run in which nothing has moved for so long is stuck."""
    grows_to: tuple[Node, ...] = ()
    """The nodes of a cluster that autoscales, at its largest; none: it is what it is."""
    object_store_bytes: int = 256 << 20
    """Rows between operators may take so much of Ray's object store for each CPU of the cluster."""
    small_bytes: int = 0
    """A local run of less input takes one process: it is done before another has loaded what it needs."""
    wait_seconds: float = 0.0
    """Nodes of such a cluster that are not there yet are waited for so long."""

    def pools(self) -> list[tuple[Pool, tuple[Stage, ...]]]:
        """Stages grouped by the actors that run them."""
        groups: list[tuple[Pool, tuple[Stage, ...]]] = []
        for stage in self.stages:
            if stage.pool is not None:
                groups.append((stage.pool, (stage,)))
            else:
                pool, members = groups[-1]
                groups[-1] = (pool, (*members, stage))
        return groups


def read(unit: Unit, shard_number: int, *, limits: ReadLimits) -> Iterator[pa.Table]:
    """The rows of one shard of a unit, in small tables; the last row closes the shard."""
    shard = unit.shards[shard_number]
    with storage.open_input(shard.url) as (stream, size):
        yield from read_shard(
            stream,
            size,
            shard_name=shard.name,
            unit=unit.number,
            shard_number=shard_number,
            format=FORMATS[unit.source.format],
            limits=limits,
            take=unit.take[shard_number] if unit.take else None,
            weight=unit.source.weight,
        )

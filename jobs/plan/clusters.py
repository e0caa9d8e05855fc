"""The shape of a cluster by name, and how long a job takes there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.shapes import EXAMPLE, Shape, parse_shape
from pipeline.chain import Chain, Node, Pool
from pipeline.errors import ConfigError
from pipeline.feasibility import fit_pools, read_cpus

RAY_SECONDS = 12.0
"""What Ray takes to start, place its actors and end, beside their own starts."""
OVERHEAD = 1.15
"""Wall seconds over those that the busiest pool computes: rows wait for each other."""


def shape_of(cluster: str | None, nodes: int | None, cpus: float | None, gpus: float, *, local: bool) -> Shape | None:
    """The cluster that the options of a call name, if they do. ConfigError where they contradict each other."""
    named = cluster is not None or nodes is not None or cpus is not None or gpus > 0
    if local and named:
        raise ConfigError("--local runs on this machine, without Ray; leave out --cluster, --nodes, --cpus and --gpus")
    if cluster is not None:
        if nodes is not None or cpus is not None or gpus:
            raise ConfigError(
                f'--cluster names nodes whole, as in --cluster "{EXAMPLE}"; leave out --nodes, --cpus and --gpus'
            )
        return parse_shape(cluster, "--cluster")
    if not named:
        return None
    if cpus is None:
        raise ConfigError("--nodes and --gpus need --cpus, the CPUs of one node; say --nodes 4 --cpus 16 --gpus 1")
    return (Node(cpus, gpus),) * (nodes or 1)


def this_machine() -> Shape:
    """One node with the CPUs that this process may use. GPUs have to be named: nothing is started to count them."""
    return (Node(float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1), 0),)


@dataclass(frozen=True, slots=True)
class Placed:
    """The pools of a chain on a cluster, by the name of their first operator."""

    pools: dict[str, Pool]
    operators: dict[str, tuple[str, ...]]
    """That share each pool."""

    @property
    def gpus(self) -> float:
        """Held while the job runs."""
        return sum(pool.gpus * pool.max_actors for pool in self.pools.values())

    @property
    def actors(self) -> dict[str, int]:
        """Of each operator."""
        return {op: self.pools[name].max_actors for name, ops in self.operators.items() for op in ops}


def place(chain: Chain, shape: Shape, num_shards: int) -> Placed:
    """As many actors as the shape holds, up to each pool's bound. ConfigError if even the fewest do not fit."""
    groups = [(pool, tuple(stage.name for stage in stages)) for pool, stages in chain.pools()]
    groups += [(chain.pack_pool, ("pack",)), (chain.write.pool or chain.pack_pool, (chain.write.name,))]
    pools = {names[0]: pool for pool, names in groups}
    return Placed(
        fit_pools(pools, shape, read_cpus(chain.read_cpus, num_shards, shape)), {names[0]: names for _, names in groups}
    )


def wall_seconds(
    placed: Placed,
    shape: Shape,
    seconds: Mapping[str, float],
    starts: Mapping[str, float],
    largest_share: float,
    num_units: int,
) -> tuple[float, str]:
    """How long it takes and what holds it up: a pool, `CPUs`, or `largest shard`.

    seconds: CPU seconds of each operator; starts: of one actor of it; largest_share: of the largest shard in all bytes.
    """
    bounds = {
        name: sum(seconds.get(op, 0.0) for op in ops) / _useful(placed.pools[name].max_actors, name, num_units)
        for name, ops in placed.operators.items()
    }
    bounds["CPUs"] = sum(seconds.values()) / sum(node.cpus for node in shape)
    bounds["largest shard"] = seconds.get("read", 0.0) * largest_share
    slowest = max(bounds, key=lambda name: bounds[name])
    return RAY_SECONDS + max(starts.values(), default=0.0) + OVERHEAD * bounds[slowest], slowest


def _useful(actors: int, name: str, num_units: int) -> int:
    """Actors that have something to do: a unit of few sequences is one file, which one actor writes."""
    return max(1, min(actors, num_units)) if name == "write" else actors

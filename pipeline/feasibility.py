"""Whether the pools of a job fit a cluster, and how far they may grow: asked before anything starts.

Ray waits for ever, and says nothing, when actors hold every CPU and no read task can be placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.chain import Node, Pool
from pipeline.errors import ConfigError

SLACK = 1e-9
"""Sums of fractions of a CPU are not exact."""


def fit_pools(pools: Mapping[str, Pool], nodes: Sequence[Node], read_cpus: float) -> dict[str, Pool]:
    """The pools with their upper bounds cut to what the nodes hold beside one read task.

    Actors are placed one by one, the largest first, each on the first node with room. ConfigError when even the
    lower bounds do not fit: it names the pools, the nodes and a remedy.
    """
    sizes = {name: pool.min_actors for name, pool in pools.items()}
    if not _places(pools, sizes, nodes, read_cpus):
        asked = ", ".join(
            f"{name} {pool.min_actors} x ({pool.cpus:g} CPU{f', {pool.gpus:g} GPU' if pool.gpus else ''})"
            for name, pool in pools.items()
        )
        raise ConfigError(
            f"resources do not fit the cluster: {asked} and {read_cpus:g} CPU for reading; the nodes have "
            f"{offered(nodes)}; lower resources.*.cpus or the first number of actors, say resources.grows_to where the "
            "cluster autoscales, or run with --local"
        )
    growing = True
    while growing:
        growing = False
        for name, pool in pools.items():
            if sizes[name] < pool.max_actors and _places(pools, sizes | {name: sizes[name] + 1}, nodes, read_cpus):
                sizes[name] += 1
                growing = True
    return {name: replace(pool, max_actors=sizes[name]) for name, pool in pools.items()}


def read_cpus(asked: float, num_shards: int, nodes: Sequence[Node]) -> float:
    """CPUs kept for readers: `asked`, or 0 where there are shards enough, as then the first pool's actors read them.

    Pictures then never lie in the object store, which takes more of a core than to check them. Where CPUs outnumber
    shards, one that reads feeds several actors.
    """
    return 0.0 if num_shards >= sum(node.cpus for node in nodes) else asked


def offered(nodes: Sequence[Node]) -> str:
    """What nodes have, in words."""
    return ", ".join(f"{node.cpus:g} CPU{f' + {node.gpus:g} GPU' if node.gpus else ''}" for node in nodes) or "none"


def lacking(pools: Mapping[str, Pool], nodes: Sequence[Node]) -> str:
    """What pools wait for, in words: a node on which one of them could start, or room for all of them."""
    for name, pool in pools.items():
        if not any(pool.cpus <= node.cpus + SLACK and pool.gpus <= node.gpus + SLACK for node in nodes):
            return f"a node with {f'{pool.gpus:g} GPU' if pool.gpus else f'{pool.cpus:g} CPU'} for {name}"
    return "room for the fewest actors of every pool"


def share_out(
    pools: Mapping[str, Pool], num_actors: int, fixed: Sequence[str], cpus: float, read_cpus: float
) -> dict[str, Pool]:
    """The pools with exactly `num_actors` actors (one for those in `fixed`), CPU shares cut until all fit `cpus`."""
    sized = {
        name: pool if name in fixed else replace(pool, min_actors=num_actors, max_actors=num_actors)
        for name, pool in pools.items()
    }
    asked = sum(pool.cpus * pool.min_actors for pool in sized.values())
    share = min(1.0, max(0.0, 0.95 * (cpus - read_cpus) / asked)) if asked else 1.0
    # Ray counts CPUs in ten-thousandths; rounding down keeps the sum within.
    return {name: replace(pool, cpus=int(pool.cpus * share * 1000) / 1000) for name, pool in sized.items()}


def _places(pools: Mapping[str, Pool], sizes: Mapping[str, int], nodes: Sequence[Node], read_cpus: float) -> bool:
    actors = [(read_cpus, 0.0, 1), *((pool.cpus, pool.gpus, sizes[name]) for name, pool in pools.items())]
    room = [(node.cpus, node.gpus) for node in nodes]
    for cpus, gpus, asked in sorted(actors, key=lambda need: (-need[1], -need[0])):
        left = asked
        for i, (free_cpus, free_gpus) in enumerate(room):
            # All that fit at once: one by one, 300 nodes of 16 CPUs took minutes.
            number = min(left, _times(free_cpus, cpus, left), _times(free_gpus, gpus, left))
            room[i] = free_cpus - number * cpus, free_gpus - number * gpus
            left -= number
            if not left:
                break
        if left:
            return False
    return True


def _times(free: float, need: float, most: int) -> int:
    return int(min(most, (free + SLACK) / need)) if need else most

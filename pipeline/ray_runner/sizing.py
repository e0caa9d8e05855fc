"""How large pools may be, and the wait for nodes that are not there yet."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from pipeline.chain import Chain, Node, Pool
from pipeline.errors import ConfigError, StorageError
from pipeline.feasibility import fit_pools, lacking, offered, read_cpus, share_out
from pipeline.ray_runner.actors import PACK
from pipeline.ray_runner.answering import StalledError, answered
from pipeline.types import Unit

WRITE = "write"
LEAST_CPUS = 0.01
"""Smallest share that --workers may leave: a hundred processes on one core do nothing but wait for one another."""
CHANGE_SECONDS = 120.0
"""Another node takes the place of a lost one within that on most clusters."""
POLL_SECONDS = 1.0
"""Room that is there is given within that."""
REPEAT_SECONDS = 60.0
"""Between two words of one wait."""


def reading(chain: Chain, units: Sequence[Unit]) -> Chain:
    """The chain with the CPUs for readers that these units take; 0: the first pool reads."""
    shards = sum(len(unit.shards) for unit in units)
    return replace(chain, read_cpus=read_cpus(chain.read_cpus, shards, chain.grows_to or _nodes(chain)))


def sized_pools(
    chain: Chain, workers: int | None, on_notice: Callable[[str], None], *, has_run: bool
) -> dict[str, Pool]:
    """The pools by name, their upper bounds within what the cluster holds or, where it autoscales, may grow to.

    Returns when the fewest actors find their places. has_run: they did before, so a lost node may come back to a
    cluster that does not autoscale. ConfigError if they never fit, StorageError after chain.wait_seconds.
    """
    if has_run:
        gc.collect()  # the error of a round holds its frames, and they its actors, which come back and keep their GPUs
    if chain.grows_to:
        pools = _fitting_pools(chain, workers, chain.grows_to)
        _wait_for_nodes(pools, chain, on_notice)
        return pools
    if has_run:
        lost = "a node in place of one that was lost"
        _wait(lambda: _fit(chain, workers), CHANGE_SECONDS, lambda: lost, on_notice)
    return _fitting_pools(chain, workers, _nodes(chain))


def _fit(chain: Chain, workers: int | None) -> bool:
    try:
        _fitting_pools(chain, workers, _nodes(chain))
    except ConfigError:
        time.sleep(POLL_SECONDS)
        return False
    return True


def _wait_for_nodes(pools: Mapping[str, Pool], chain: Chain, on_notice: Callable[[str], None]) -> None:
    def what() -> str:
        nodes = _nodes(chain)
        return (
            f"{lacking(pools, nodes)}: the cluster has {offered(nodes)} now and may grow to {offered(chain.grows_to)} "
            "(resources.grows_to)"
        )

    with _asked_for(pools, chain) as group:
        placed = partial(answered, partial(group.wait, POLL_SECONDS), chain.stall_seconds)
        if not _wait(placed, chain.wait_seconds, what, on_notice):
            raise StorageError(
                f"waited {chain.wait_seconds:.0f} s (limits.wait_seconds) for {what()}; see why no node starts, and "
                "run again"
            )


def _wait(
    is_there: Callable[[], bool], limit_seconds: float, what: Callable[[], str], on_notice: Callable[[str], None]
) -> bool:
    """Asks until it is there or the time is over; whether it is. on_notice hears of it after the first no."""
    began = time.monotonic()
    next_word = 0.0
    while not is_there():
        passed = time.monotonic() - began
        if passed >= limit_seconds:
            return False
        if passed >= next_word:
            on_notice(f"waiting for {what()}")
            next_word = passed + REPEAT_SECONDS
    return True


@contextmanager
def _asked_for(pools: Mapping[str, Pool], chain: Chain) -> Iterator[PlacementGroup]:
    """Room for a reader and the fewest actors, as a placement group: an autoscaler starts nodes for it.

    It ends with the block, or with us: what request_resources asks for would outlive a run that is killed, and keep
    nodes up for ever.
    """
    needs = [(chain.read_cpus, 0.0)]
    for pool in pools.values():
        needs += [(pool.cpus, pool.gpus)] * pool.min_actors
    bundles = [{"CPU": cpus, "GPU": gpus} for cpus, gpus in needs]
    bundles = [{name: amount for name, amount in bundle.items() if amount} for bundle in bundles]
    group = answered(partial(placement_group, [bundle for bundle in bundles if bundle]), chain.stall_seconds)
    try:
        yield group
    finally:
        with suppress(ray.exceptions.RayError, RuntimeError, StalledError):
            answered(partial(remove_placement_group, group))


def _nodes(chain: Chain) -> list[Node]:
    """Those that are there."""
    return [
        Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in answered(ray.nodes, chain.stall_seconds)
        if node["Alive"]
    ]


def _fitting_pools(chain: Chain, workers: int | None, nodes: Sequence[Node]) -> dict[str, Pool]:
    """ConfigError if they do not fit these nodes."""
    pools = {stages[0].name: pool for pool, stages in chain.pools()}
    pools |= {PACK: chain.pack_pool}
    if chain.write.pool is not None:
        pools |= {WRITE: chain.write.pool}
    if workers is not None:
        pools = share_out(pools, workers, [PACK], sum(node.cpus for node in nodes), chain.read_cpus)
        if any(0 < pool.cpus < LEAST_CPUS for pool in pools.values()):
            raise ConfigError(f"--workers {workers} leaves each actor under {LEAST_CPUS} CPU; ask for fewer")
    return fit_pools(pools, nodes, chain.read_cpus)

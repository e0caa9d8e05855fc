"""Units run in rounds, each one streaming pipeline, until none is left open.

Rows stream through pools of actors; `pack` is one actor whose memory may vanish. A round that ends with units
missing, or in which nothing moves any more, is followed by another over those units, as long as rounds commit
anything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources

from pipeline.chain import Chain, Pool
from pipeline.errors import ConfigError, LodepackError, RefusedError, StorageError
from pipeline.monitor import place_of
from pipeline.ray_runner.actors import PACK, READ, Operators, Packer, Readers, telling_at_once
from pipeline.ray_runner.answering import StalledError, answered
from pipeline.ray_runner.connecting import Cluster, last_line
from pipeline.ray_runner.metrics import Meter
from pipeline.ray_runner.sizing import WRITE, reading, sized_pools
from pipeline.ray_runner.watching import watched
from pipeline.types import Unit

MAX_DEATHS = 4
"""Times that an actor is restarted and its task tried again; what kills it more often fails the job."""
MAX_IDLE_ROUNDS = 3
"""Rounds in a row that may end without a unit committed: storage failed, or an actor forgot what it had gathered."""
IDLE_SECONDS = 5.0
"""Waited after a round without a commit, twice as long after the second: what was lost may come back."""
RESUME = "; run again to resume"
KINDS = {kind.__name__: kind for kind in (ConfigError, StorageError, RefusedError)}
FINAL = (ConfigError, RefusedError)
"""Errors after which no further round is tried."""


def run_ray(
    connection: Cluster,
    chain: Chain,
    units: Sequence[Unit],
    workers: int | None,
    on_reports: Callable[[pa.Table], set[int]],
    on_notice: Callable[[str], None],
    meter: Meter,
) -> int:
    """Runs all units; returns the rounds it took: 1, and one more each time an actor lost what it had gathered.

    on_reports takes the reports of `write` and returns the numbers of the units still open. on_notice hears, in a
    line, why units are run again, and which nodes are waited for. meter exports what operators do.

    Raises StorageError after MAX_IDLE_ROUNDS rounds without a commit, or what an operator raised.
    """
    todo = list(units)
    rounds = idle_rounds = 0
    while todo:
        rounds += 1
        left = {unit.number for unit in todo}
        failure: LodepackError = StorageError(
            f"{len(todo)} units did not come through: actors lost their rows in each of {MAX_IDLE_ROUNDS} rounds; "
            "run again to resume, with fewer actors if memory is short"
        )
        why = "actors died with rows in their memory"
        try:
            chain = reading(chain, todo)  # anew, as the pools: a node may be gone
            pools = sized_pools(chain, workers, on_notice, has_run=rounds > 1)
            meter.reserve(*_gpus(chain, pools))
            start = partial(_round, chain, todo, pools)
            for table in watched(connection, start, chain.stall_seconds, meter.hear):
                left = on_reports(table) & {unit.number for unit in todo}
        except ray.exceptions.RayError as error:
            failure = _cause(error)
            why = str(failure).removesuffix(RESUME)
        except StalledError as stall:
            failure, why = stall, str(stall)
            if not connection.restart():
                raise
        except ConfigError as error:
            if rounds == 1:
                raise
            failure = StorageError(f"{error}; the cluster has shrunk since the run began")
        idle_rounds = idle_rounds + 1 if len(left) == len(todo) else 0
        if idle_rounds == MAX_IDLE_ROUNDS or isinstance(failure, FINAL):
            raise failure
        todo = [unit for unit in todo if unit.number in left]
        time.sleep(IDLE_SECONDS * idle_rounds)
        if todo:
            meter.rerun()
            on_notice(f"round {rounds} left {len(todo)} unit(s) open ({why}); they run again")
    return rounds


def write_ray(
    connection: Cluster,
    chain: Chain,
    tables: Sequence[pa.Table],
    workers: int | None,
    on_reports: Callable[[pa.Table], set[int]],
    on_notice: Callable[[str], None],
    meter: Meter,
) -> None:
    """Writes tasks that are there already. StorageError, or what `write` raised, after MAX_IDLE_ROUNDS attempts."""
    for attempt in range(1, MAX_IDLE_ROUNDS + 1):
        try:
            pools = sized_pools(chain, workers, on_notice, has_run=True)
            meter.reserve(*_gpus(chain, pools))
            start = partial(_write_round, chain, tables, pools)
            for reports in watched(connection, start, chain.stall_seconds, meter.hear):
                on_reports(reports)
        except (ray.exceptions.RayError, StalledError) as error:
            failure = error if isinstance(error, StalledError) else _cause(error)
            is_over = attempt == MAX_IDLE_ROUNDS or isinstance(failure, FINAL)
            if is_over or (isinstance(error, StalledError) and not connection.restart()):
                raise failure from None
            meter.rerun()
            on_notice(f"the closing units run again ({failure})")
        else:
            return


def _gpus(chain: Chain, pools: dict[str, Pool]) -> tuple[dict[str, float], float]:
    """The GPUs of an actor by operator, and of all actors at most."""
    shares = {stage.name: pools[stages[0].name].gpus for _, stages in chain.pools() for stage in stages}
    shares |= {READ: 0.0} | {name: pool.gpus for name, pool in pools.items()}
    return shares, sum(pool.gpus * pool.max_actors for pool in pools.values())


def _write_round(chain: Chain, tables: Sequence[pa.Table], pools: dict[str, Pool], monitor: Any) -> Iterator[pa.Table]:
    dataset = ray.data.from_arrow([table.combine_chunks() for table in tables])
    yield from _batches(_map(dataset, Operators, (monitor, (chain.write,)), WRITE, pools[WRITE]))


def _round(chain: Chain, units: Sequence[Unit], pools: dict[str, Pool], monitor: Any) -> Iterator[pa.Table]:
    _bound_object_store(chain)
    items = [{"unit": i, "shard": number} for i, unit in enumerate(units) for number in range(len(unit.shards))]

    def read_shards(table: pa.Table) -> Iterator[pa.Table]:
        told = telling_at_once(monitor)
        for item in table.to_pylist():
            unit = units[item["unit"]]
            told.open(unit.number)
            told.begin(READ, f"unit {unit.number}, {unit.shards[item['shard']].name}")
            for found in chain.read(unit, item["shard"]):
                told.end(found.num_rows)
                yield found
                told.begin(READ, f"{place_of(found)}, and what follows")
            told.end(0)

    dataset: Any = ray.data.from_items(items, override_num_blocks=len(items))
    groups = chain.pools()
    if chain.read_cpus:
        dataset = dataset.map_batches(
            read_shards, batch_size=1, batch_format="pyarrow", num_cpus=chain.read_cpus, max_retries=MAX_DEATHS
        )
    else:
        (_, stages), *groups = groups
        pool = replace(pools[stages[0].name], batch_size=1)
        compute = _readers(pool, len(items), grows=bool(chain.grows_to))
        dataset = _map(dataset, Readers, (monitor, chain, stages, units), stages[0].name, pool, compute)
    for _, stages in groups:
        dataset = _map(dataset, Operators, (monitor, stages), stages[0].name, pools[stages[0].name])
    dataset = _map(dataset, Packer, (monitor, chain, units), PACK, pools[PACK])
    dataset = _map(dataset, Operators, (monitor, (chain.write,)), WRITE, pools[WRITE])
    yield from _batches(dataset)


def _readers(pool: Pool, num_shards: int, *, grows: bool) -> ActorPoolStrategy:
    """Actors that read: all at once, as none waits for another's rows; the fewest where the cluster is yet to grow.

    One shard at a time: a second one that an actor was given waits for the first while others have none.
    """
    first = pool.min_actors if grows else max(pool.min_actors, min(pool.max_actors, num_shards))
    return ActorPoolStrategy(
        min_size=pool.min_actors, max_size=pool.max_actors, initial_size=first, max_tasks_in_flight_per_actor=1
    )


def _bound_object_store(chain: Chain) -> None:
    cpus = answered(ray.cluster_resources, chain.stall_seconds).get("CPU", 1.0)
    options = DataContext.get_current().execution_options
    options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=chain.object_store_bytes * max(1.0, cpus)
    )


def _batches(dataset: Any) -> Iterator[pa.Table]:
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _map(
    dataset: Any,
    actor: type,
    arguments: tuple[Any, ...],
    name: str,
    pool: Pool,
    compute: ActorPoolStrategy | None = None,
) -> Any:
    """`dataset` through a pool of actors that Ray's bars, logs and process titles call by the operator's name.

    compute: where it is not to start with the fewest actors, and to grow as rows wait for them.
    """
    return dataset.map_batches(
        type(name.capitalize(), (actor,), {}),
        fn_constructor_args=arguments,
        batch_size=pool.batch_size,
        batch_format="pyarrow",
        compute=compute or ActorPoolStrategy(min_size=pool.min_actors, max_size=pool.max_actors),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
        max_restarts=MAX_DEATHS,
        max_task_retries=MAX_DEATHS,
    )


def _cause(error: BaseException) -> LodepackError:
    """Our own error out of the layers that Ray put around it, or a one-line StorageError.

    Ray keeps what an actor raised only as the text of its traceback.
    """
    found = re.findall(r"^pipeline\.errors\.(ConfigError|StorageError|RefusedError): (.*)$", str(error), re.MULTILINE)
    if found:
        kind, message = found[-1]
        return KINDS[kind](message)
    if re.search(r"No module named '(jobs|operators|pipeline)\b", str(error)):
        return ConfigError(
            "the cluster's nodes have no lodepack; install there what is installed here, or say lodepack submit, which "
            "sends its code along"
        )
    held = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return StorageError(f"Ray gave up: {last_line(error)}{held}{RESUME}")

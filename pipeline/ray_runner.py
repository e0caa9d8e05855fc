"""Drives the chain as one streaming Ray Data pipeline. The only module that imports Ray.

Rows stream through pools of actors; `pack` is one actor whose memory may vanish. A round that ends with units
missing is followed by another over those units, as long as rounds commit anything.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.chain import Chain, Pool, Stage
from pipeline.errors import ConfigError, LodepackError, StorageError
from pipeline.feasibility import Node, fit_pools, share_out
from pipeline.operator import Operator
from pipeline.types import Unit

MAX_DEATHS = 4
"""Times that an actor is restarted and its task tried again; what kills it more often fails the job."""
BLOCK_BYTES = 4 << 20
"""Blocks are handed on once they hold this much: a shard then feeds several actors, and the next pool starts early."""
KNOCK_SECONDS = 10
LEAST_CPUS = 0.01
"""Smallest share that --workers may leave: a hundred processes on one core do nothing but wait for one another."""
MAX_IDLE_ROUNDS = 3
"""Rounds in a row that may end without a unit committed: storage failed, or an actor forgot what it had gathered."""
PACK, WRITE = "pack", "write"


class _Operators:
    """A pool's actor: makes its operators once, then maps tables."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._operators: list[Operator] = [stage.build() for stage in stages]

    def __call__(self, table: pa.Table) -> pa.Table:
        for operator in self._operators:
            table = operator(table)
        return table


class _Packer:
    """The one actor of `pack`."""

    def __init__(self, chain: Chain, units: Sequence[Unit]) -> None:
        self._pack = chain.pack(units)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield from self._pack(table)


@contextmanager
def cluster(address: str | None, *, show_progress: bool) -> Iterator[None]:
    """A connection to the cluster at `address`, at RAY_ADDRESS, or to a new one on this machine that ends with us.

    A connection that is there already is used and left open. StorageError if there is no cluster at the address.
    """
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(address)
    context = DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = show_progress and sys.stderr.isatty()
    # Ray's bars through rich, which we have; its default needs tqdm, which we have not, and shows nothing without it.
    context.enable_rich_progress_bars, context.use_ray_tqdm = True, False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors come to the user from us, in one line
    # max_restarts and max_task_retries have no other way in; the dependency is held below the release without it.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    # Of an input too small to keep every actor busy, which is nobody's mistake.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")
    try:
        yield
    finally:
        if is_ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    # At any lower level Ray's C++ warns on standard error that its own constructor arguments lie in its own store.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # CPUs are shares here, not cores: on a single one the smallest pools and a reader still find their places.
        options |= {"include_dashboard": False, "num_cpus": max(2, os.cpu_count() or 2)}
    try:
        if address:
            _knock(address)
        with _no_stderr():
            ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"cluster at {address}" if address else "a cluster on this machine"
        raise StorageError(
            f"cannot reach {where}: {_last_line(error)}; check --address, or run with --local"
        ) from error


def _knock(address: str) -> None:
    """OSError at once where nobody listens: ray.init would try for ten minutes and say nothing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Drops what C++ writes to standard error while Ray starts: that it read the variable set above."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted, not a path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def run_ray(
    chain: Chain, units: Sequence[Unit], workers: int | None, on_reports: Callable[[pa.Table], set[int]]
) -> int:
    """Runs all units; returns the rounds it took: 1, and one more each time an actor lost what it had gathered.

    on_reports takes the reports of `write` and returns the numbers of the units still open.

    Raises StorageError after MAX_IDLE_ROUNDS rounds without a commit, or what an operator raised.
    """
    pools = _sized_pools(chain, workers)
    todo = list(units)
    rounds = idle_rounds = 0
    while todo:
        rounds += 1
        left = {unit.number for unit in todo}
        failure: LodepackError = StorageError(
            f"{len(todo)} units did not come through: actors lost their rows in each of {MAX_IDLE_ROUNDS} rounds; "
            "run again to resume, with fewer actors if memory is short"
        )
        try:
            for table in _round(chain, todo, pools):
                left = on_reports(table)
        except ray.exceptions.RayError as error:
            failure = _cause(error)
        idle_rounds = idle_rounds + 1 if len(left) == len(todo) else 0
        if idle_rounds == MAX_IDLE_ROUNDS or isinstance(failure, ConfigError):
            raise failure
        todo = [unit for unit in todo if unit.number in left]
    return rounds


def write_ray(
    chain: Chain, tables: Sequence[pa.Table], workers: int | None, on_reports: Callable[[pa.Table], set[int]]
) -> None:
    """Writes tasks that are there already. StorageError, or what `write` raised, after MAX_IDLE_ROUNDS attempts."""
    pools = _sized_pools(chain, workers)
    for attempt in range(1, MAX_IDLE_ROUNDS + 1):
        dataset = ray.data.from_arrow([table.combine_chunks() for table in tables])
        try:
            for reports in _batches(_map(dataset, _Operators, ((chain.write,),), WRITE, pools[WRITE])):
                on_reports(reports)
        except ray.exceptions.RayError as error:
            if attempt == MAX_IDLE_ROUNDS:
                raise _cause(error) from None
        else:
            return


def _sized_pools(chain: Chain, workers: int | None) -> dict[str, Pool]:
    """The pools by name, within what the cluster offers now."""
    nodes = [
        Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]
    pools = {stages[0].name: pool for pool, stages in chain.pools()}
    pools |= {PACK: chain.pack_pool}
    if chain.write.pool is not None:
        pools |= {WRITE: chain.write.pool}
    if workers is not None:
        pools = share_out(pools, workers, [PACK], sum(node.cpus for node in nodes), chain.read_cpus)
        if any(0 < pool.cpus < LEAST_CPUS for pool in pools.values()):
            raise ConfigError(f"--workers {workers} leaves each actor under {LEAST_CPUS} CPU; ask for fewer")
    return fit_pools(pools, nodes, chain.read_cpus)


def _round(chain: Chain, units: Sequence[Unit], pools: dict[str, Pool]) -> Iterator[pa.Table]:
    items = [{"unit": i, "shard": number} for i, unit in enumerate(units) for number in range(len(unit.shards))]

    def read_shards(table: pa.Table) -> Iterator[pa.Table]:
        for item in table.to_pylist():
            unit = units[item["unit"]]
            yield from chain.read(unit, item["shard"])

    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        read_shards, batch_size=1, batch_format="pyarrow", num_cpus=chain.read_cpus, max_retries=MAX_DEATHS
    )
    for _, stages in chain.pools():
        dataset = _map(dataset, _Operators, (stages,), stages[0].name, pools[stages[0].name])
    dataset = _map(dataset, _Packer, (chain, units), PACK, pools[PACK])
    dataset = _map(dataset, _Operators, ((chain.write,),), WRITE, pools[WRITE])
    yield from _batches(dataset)


def _batches(dataset: Any) -> Iterator[pa.Table]:
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _map(dataset: Any, actor: type, arguments: tuple[Any, ...], name: str, pool: Pool) -> Any:
    """`dataset` through a pool of actors that Ray's bars, logs and process titles call by the operator's name."""
    return dataset.map_batches(
        type(name.capitalize(), (actor,), {}),
        fn_constructor_args=arguments,
        batch_size=pool.batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=pool.min_actors, max_size=pool.max_actors),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
        max_restarts=MAX_DEATHS,
        max_task_retries=MAX_DEATHS,
    )


def _cause(error: BaseException) -> LodepackError:
    """Our own error out of the layers that Ray put around it, or a one-line StorageError.

    Ray keeps what an actor raised only as the text of its traceback.
    """
    found = re.findall(r"^pipeline\.errors\.(ConfigError|StorageError): (.*)$", str(error), re.MULTILINE)
    if found:
        kind, message = found[-1]
        return ConfigError(message) if kind == "ConfigError" else StorageError(message)
    return StorageError(f"Ray gave up: {_last_line(error)}; run again to resume")

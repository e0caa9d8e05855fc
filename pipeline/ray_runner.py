"""Drives the chain as one streaming Ray Data pipeline. The only module that imports Ray.

Rows stream through pools of actors; `pack` is one actor whose memory may vanish. A round that ends with units
missing, or in which nothing moves any more, is followed by another over those units, as long as rounds commit
anything.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pyarrow as pa

# Read when Ray is imported: any call that finds no cluster would start one, also behind a cluster that we gave up.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.chain import Chain, Pool, Stage
from pipeline.errors import ConfigError, LodepackError, StorageError
from pipeline.feasibility import Node, fit_pools, share_out
from pipeline.monitor import Monitor, place_of
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
RESUME = "; run again to resume"
READ, PACK, WRITE = "read", "pack", "write"
MONITOR = "lodepack-monitor"
BEAT_SECONDS = 1.0
"""A long table sends no more beats than one in so long."""
POLL_SECONDS = 1.0
ANSWER_SECONDS = 60.0
"""A monitor is given so long to answer: every node may be busy."""
LEAVE_SECONDS = 30.0
QUEUED_TABLES = 4
"""Reports that may wait for the commit of others."""


class _Told:
    """Tells the run's monitor what this process holds. Nobody waits for the monitor, and it may be gone."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        self._worker = ray.get_runtime_context().get_actor_id() or f"task {ray.get_runtime_context().get_task_id()}"
        self._beaten = time.monotonic()

    def begin(self, operator: str, place: str) -> None:
        self._monitor.begin.remote(self._worker, operator, place)

    def end(self, num_rows: int) -> None:
        self._monitor.end.remote(self._worker, num_rows)

    def beat(self) -> None:
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            self._monitor.beat.remote()


class _Operators:
    """A pool's actor: makes its operators once, then maps tables."""

    def __init__(self, monitor: Any, stages: Sequence[Stage]) -> None:
        self._told = _Told(monitor)
        self._operators: list[tuple[str, Operator]] = [(stage.name, stage.build(self._told.beat)) for stage in stages]

    def __call__(self, table: pa.Table) -> pa.Table:
        for name, operator in self._operators:
            self._told.begin(name, place_of(table))
            table = operator(table)
            self._told.end(table.num_rows)
        return table


class _Packer:
    """The one actor of `pack`."""

    def __init__(self, monitor: Any, chain: Chain, units: Sequence[Unit]) -> None:
        self._told = _Told(monitor)
        self._pack = chain.pack(units)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        self._told.begin(PACK, place_of(table))
        yield from self._pack(table)
        self._told.end(table.num_rows)


class Cluster:
    """A connection to Ray."""

    def __init__(self, address: str | None) -> None:
        """Uses the connection that is there already and leaves it open; otherwise makes one, to `address`,
        to RAY_ADDRESS, or to a new cluster on this machine that ends with us. StorageError if nobody answers there.
        """
        self._address = address
        self.puller: threading.Thread | None = None
        """Whoever waits for the tables of a round."""
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(address)

    def close(self) -> None:
        if self._is_ours:
            ray.shutdown()

    def restart(self) -> bool:
        """Gives up every actor and task that this connection has and makes another; False if it is not ours."""
        if self._is_ours:
            ray.shutdown()
            if self.puller is not None:
                self.puller.join(LEAVE_SECONDS)  # it still speaks to the cluster that is gone
            _connect(self._address)
        return self._is_ours


class _StalledError(StorageError):
    """Nothing has moved for as long as the job allows."""


@contextmanager
def cluster(address: str | None, *, show_progress: bool) -> Iterator[Cluster]:
    """The Cluster at `address`, with Ray's own talk turned down, for the length of a block."""
    connection = Cluster(address)
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
        yield connection
    finally:
        connection.close()


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
        before = signal.getsignal(signal.SIGTERM)
        with _no_stderr():
            ray.init(address=address, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own handler exits without a word
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
    """The end of an error's text, without the causes that Ray goes on to guess at."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].partition(". ")[0]


def run_ray(
    connection: Cluster,
    chain: Chain,
    units: Sequence[Unit],
    workers: int | None,
    on_reports: Callable[[pa.Table], set[int]],
    on_notice: Callable[[str], None],
) -> int:
    """Runs all units; returns the rounds it took: 1, and one more each time an actor lost what it had gathered.

    on_reports takes the reports of `write` and returns the numbers of the units still open. on_notice hears, in a
    line, why units are run again.

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
            pools = _sized_pools(chain, workers)  # anew each round: a node may be gone
            for table in _watched(connection, partial(_round, chain, todo, pools), chain.stall_seconds):
                left = on_reports(table)
        except ray.exceptions.RayError as error:
            failure = _cause(error)
            why = str(failure).removesuffix(RESUME)
        except _StalledError as stall:
            failure, why = stall, str(stall)
            if not connection.restart():
                raise
        except ConfigError as error:
            if rounds == 1:
                raise
            failure = StorageError(f"{error}; the cluster has shrunk since the run began")
        idle_rounds = idle_rounds + 1 if len(left) == len(todo) else 0
        if idle_rounds == MAX_IDLE_ROUNDS or isinstance(failure, ConfigError):
            raise failure
        todo = [unit for unit in todo if unit.number in left]
        if todo:
            on_notice(f"round {rounds} left {len(todo)} unit(s) open ({why}); they run again")
    return rounds


def write_ray(
    connection: Cluster,
    chain: Chain,
    tables: Sequence[pa.Table],
    workers: int | None,
    on_reports: Callable[[pa.Table], set[int]],
    on_notice: Callable[[str], None],
) -> None:
    """Writes tasks that are there already. StorageError, or what `write` raised, after MAX_IDLE_ROUNDS attempts."""
    for attempt in range(1, MAX_IDLE_ROUNDS + 1):
        try:
            pools = _sized_pools(chain, workers)
            for reports in _watched(connection, partial(_write_round, chain, tables, pools), chain.stall_seconds):
                on_reports(reports)
        except (ray.exceptions.RayError, _StalledError) as error:
            failure = error if isinstance(error, _StalledError) else _cause(error)
            if attempt == MAX_IDLE_ROUNDS or (isinstance(error, _StalledError) and not connection.restart()):
                raise failure from None
            on_notice(f"the closing units run again ({failure})")
        else:
            return


def _watched(
    connection: Cluster, start: Callable[[Any], Iterator[pa.Table]], stall_seconds: float
) -> Iterator[pa.Table]:
    """The tables of a round that is started with a monitor. _StalledError once nothing has moved for so long.

    Another thread waits for Ray, which may never answer.
    """
    monitor = _start_monitor()
    found: queue.Queue[pa.Table | BaseException | None] = queue.Queue(QUEUED_TABLES)
    ended = threading.Event()

    def pull() -> None:
        last: BaseException | None = None
        try:
            for table in start(monitor):
                if not _put(found, table, ended):
                    return
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            last = error
        _put(found, last, ended)

    connection.puller = threading.Thread(target=pull, daemon=True, name="lodepack-round")
    connection.puller.start()
    try:
        while True:
            try:
                item = found.get(timeout=min(POLL_SECONDS, stall_seconds))
            except queue.Empty:
                _raise_if_stalled(monitor, stall_seconds)
                continue
            if item is None:
                return
            if isinstance(item, ray.exceptions.RayError):
                _note_holders(item, monitor)
            if isinstance(item, BaseException):
                raise item
            yield item
            monitor.beat.remote()  # whatever the commit of these took
    finally:
        ended.set()
        with suppress(ray.exceptions.RayError, RuntimeError):
            ray.kill(monitor)


def _put(found: queue.Queue[Any], item: Any, ended: threading.Event) -> bool:
    """Hands over an item, unless nobody takes it any more."""
    while not ended.is_set():
        try:
            found.put(item, timeout=POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


def _start_monitor() -> Any:
    """The run's monitor, beside the driver and with a name by which others find it; it may be lost and come back."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
    return ray.remote(Monitor).options(name=f"{MONITOR}-{uuid.uuid4().hex}", **options).remote()


def _raise_if_stalled(monitor: Any, stall_seconds: float) -> None:
    """_StalledError with where everything stands. A monitor that does not answer tells nothing, or is stuck too."""
    try:
        stall = ray.get(monitor.stall.remote(stall_seconds), timeout=max(ANSWER_SECONDS, stall_seconds))
    except ray.exceptions.GetTimeoutError:
        stall = f"the cluster has not answered for {max(ANSWER_SECONDS, stall_seconds):.0f} s"
    except ray.exceptions.RayError:  # it has just died, and begins anew
        return
    if stall is not None:
        raise _StalledError(f"{stall}; see limits.stall_seconds")


def _note_holders(error: BaseException, monitor: Any) -> None:
    """Adds to an error who held which rows when it came: a worker that died is among them."""
    with suppress(ray.exceptions.RayError):
        held = ray.get(monitor.held.remote(), timeout=ANSWER_SECONDS)
        if held:
            error.add_note(held)


def _write_round(chain: Chain, tables: Sequence[pa.Table], pools: dict[str, Pool], monitor: Any) -> Iterator[pa.Table]:
    dataset = ray.data.from_arrow([table.combine_chunks() for table in tables])
    yield from _batches(_map(dataset, _Operators, (monitor, (chain.write,)), WRITE, pools[WRITE]))


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


def _round(chain: Chain, units: Sequence[Unit], pools: dict[str, Pool], monitor: Any) -> Iterator[pa.Table]:
    items = [{"unit": i, "shard": number} for i, unit in enumerate(units) for number in range(len(unit.shards))]

    def read_shards(table: pa.Table) -> Iterator[pa.Table]:
        told = _Told(monitor)
        for item in table.to_pylist():
            unit = units[item["unit"]]
            told.begin(READ, f"unit {unit.number}, {unit.shards[item['shard']].name}")
            for found in chain.read(unit, item["shard"]):
                told.end(found.num_rows)
                yield found
                told.begin(READ, f"{place_of(found)}, and what follows")
            told.end(0)

    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        read_shards, batch_size=1, batch_format="pyarrow", num_cpus=chain.read_cpus, max_retries=MAX_DEATHS
    )
    for _, stages in chain.pools():
        dataset = _map(dataset, _Operators, (monitor, stages), stages[0].name, pools[stages[0].name])
    dataset = _map(dataset, _Packer, (monitor, chain, units), PACK, pools[PACK])
    dataset = _map(dataset, _Operators, (monitor, (chain.write,)), WRITE, pools[WRITE])
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
    held = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return StorageError(f"Ray gave up: {_last_line(error)}{held}{RESUME}")

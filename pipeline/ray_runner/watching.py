"""Waits for the tables of a round, and for no longer than anything moves in it."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.monitor import Monitor, Work
from pipeline.ray_runner.answering import ANSWER_SECONDS, StalledError, answered
from pipeline.ray_runner.connecting import Cluster

MONITOR = "lodepack-monitor"
POLL_SECONDS = 1.0
NEWS_SECONDS = 10.0
"""The monitor is given so long to say what was done: no run waits for figures, nor fails for want of them."""
QUEUED_TABLES = 4
"""Reports that may wait for the commit of others."""


def watched(
    connection: Cluster,
    start: Callable[[Any], Iterator[pa.Table]],
    stall_seconds: float,
    on_news: Callable[[Work, dict[int, float]], None],
) -> Iterator[pa.Table]:
    """The tables of a round that is started with a monitor. StalledError once nothing has moved for so long.

    Another thread waits for Ray, which may never answer. on_news hears the monitor's news, now and then, before each
    table and at the end; what a lost monitor knew is lost.
    """
    monitor = answered(_start_monitor, stall_seconds)
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
                _pass_on(monitor, on_news)
                continue
            _pass_on(monitor, on_news)
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
        with suppress(ray.exceptions.RayError, RuntimeError, StalledError):
            answered(partial(ray.kill, monitor))


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
    """StalledError with where everything stands. A monitor that does not answer is stuck too."""
    try:
        stall = answered(partial(ray.get, monitor.stall.remote(stall_seconds)), stall_seconds)
    except ray.exceptions.RayError:  # it has just died, and begins anew
        return
    if stall is not None:
        raise StalledError(f"{stall}; see limits.stall_seconds")


def _pass_on(monitor: Any, on_news: Callable[[Work, dict[int, float]], None]) -> None:
    with suppress(ray.exceptions.RayError, RuntimeError, StalledError):
        on_news(*answered(partial(ray.get, monitor.news.remote(), timeout=NEWS_SECONDS)))


def _note_holders(error: BaseException, monitor: Any) -> None:
    """Adds to an error who held which rows when it came: a worker that died is among them."""
    with suppress(ray.exceptions.RayError):
        held = ray.get(monitor.held.remote(), timeout=ANSWER_SECONDS)
        if held:
            error.add_note(held)

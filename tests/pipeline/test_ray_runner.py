"""What the user hears when something fails inside an actor: our own line, whatever Ray wraps around it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipeline import ray_runner
from pipeline.chain import Chain, Node
from pipeline.errors import ConfigError, StorageError
from pipeline.ray_runner import Cluster, Meter, answering, connecting, rounds
from pipeline.ray_runner.answering import answered
from pipeline.ray_runner.watching import watched
from pipeline.types import Source, Unit
from pipeline.units import list_shards
from tests.failing import Deadly, Failing, Hopeless, Slow, Unbuildable, chain_with
from tests.support import ROOT, write_shard


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds without a commit follow each other without a pause."""
    monkeypatch.setattr(rounds, "IDLE_SECONDS", 0)


def test_a_storage_error_in_an_actor_is_tried_again(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Failing, tmp_path)
    kinds: list[str] = []
    notices: list[str] = []

    def on_reports(table: pa.Table) -> set[int]:
        kinds.extend(table["kind"].to_pylist())
        return set() if len(kinds) == 3 else {0}

    meter = Meter("test", [0])
    assert ray_runner.run_ray(ray_session, chain, units, None, on_reports, notices.append, meter) == 2
    assert meter.operators["failing"]["tables"] == 1
    assert meter.operators["read"]["tables"] == 2  # once more in the second round
    assert sorted(kinds) == ["data", "index", "summary"]
    assert [text.partition(" (")[0] for text in notices] == ["round 1 left 1 unit(s) open"]
    assert "the network is down" in notices[0]


def test_a_storage_error_that_stays_ends_the_run_in_its_own_words(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Hopeless, tmp_path)
    with pytest.raises(StorageError, match=r"^s3://bucket/shard\.tar: access denied to \d+ columns; check the key$"):
        # 7: a unit that is none of these and stays open, of the units that are re-planned, say
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0, 7}, lambda _: None, Meter("test", [0]))


def test_a_config_error_in_an_actor_ends_the_run_at_once_in_its_own_words(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Unbuildable, tmp_path)
    with pytest.raises(ConfigError, match=r"^tokenizer gone.model cannot be read; train one$"):
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0}, lambda _: None, Meter("test", [0]))


@pytest.mark.slow
def test_readers_wait_where_what_follows_is_slow(ray_session: Cluster, tmp_path: Path) -> None:
    chain, _ = chain_with(Slow, tmp_path)
    random = Random(1)
    for number in range(20):
        names = [f"{i:02d}" for i in range(32)]
        members = {f"{name}.jpg": random.randbytes(1 << 18) for name in names} | {f"{name}.txt": b"x" for name in names}
        write_shard(tmp_path / f"large-{number:02d}.tar", dict(sorted(members.items())))
    shards = list_shards([str(tmp_path / "large-{00..19}.tar")])
    units = [Unit(number, (shard,), Source("pairs")) for number, shard in enumerate(shards)]
    limited = replace(
        chain, stages=(replace(chain.stages[-1], pool=chain.stages[0].pool),), object_store_bytes=32 << 20
    )
    used = [0.0]
    left = {unit.number for unit in units}

    def watch() -> None:
        total = ray.cluster_resources()["object_store_memory"]
        while left:
            used.append(total - ray.available_resources().get("object_store_memory", total))
            time.sleep(0.1)

    def on_reports(table: pa.Table) -> set[int]:
        left.difference_update(table["unit"].to_pylist())
        return left

    watcher = threading.Thread(target=watch)
    before = ray.cluster_resources()["object_store_memory"] - ray.available_resources()["object_store_memory"]
    watcher.start()
    ray_runner.run_ray(ray_session, limited, units, None, on_reports, lambda _: None, Meter("test", list(left)))
    watcher.join()
    assert max(used) - before < 100 << 20  # of 160 MiB; readers and the operator hold some blocks each


def on_a_gpu(folder: Path) -> tuple[Chain, list[Unit]]:
    """A chain whose actors ask for a GPU, which the tests' cluster has not."""
    chain, units = chain_with(Failing, folder)
    first = chain.stages[0]
    assert first.pool is not None
    return replace(chain, stages=(replace(first, pool=replace(first.pool, gpus=1.0)), *chain.stages[1:])), units


def test_a_gpu_that_the_cluster_may_grow_to_is_waited_for_so_long(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = on_a_gpu(tmp_path)
    chain = replace(chain, grows_to=(Node(4, 0), Node(4, 1)), wait_seconds=2)
    notices: list[str] = []
    what = r"for a node with 1 GPU for decode: the cluster has \d+ CPU now and may grow to 4 CPU, 4 CPU \+ 1 GPU \(res"
    with pytest.raises(StorageError, match=rf"^waited 2 s \(limits\.wait_seconds\) {what}[^\n]*; see why"):
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0}, notices.append, Meter("test", [0]))
    assert [text.partition(":")[0] for text in notices] == ["waiting for a node with 1 GPU for decode"]
    assert all(state["state"] == "REMOVED" for state in ray.util.placement_group_table().values())


def test_a_gpu_that_the_cluster_will_never_have_is_refused_at_once(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = on_a_gpu(tmp_path)
    for grows_to in ((), (Node(64, 0),)):
        fixed = replace(chain, grows_to=grows_to)
        with pytest.raises(ConfigError, match=r"do not fit the cluster: decode 1 x \(.* 1 GPU\).*resources\.grows_to"):
            ray_runner.run_ray(ray_session, fixed, units, None, lambda _: {0}, print, Meter("test", [0]))


def test_a_round_in_which_nothing_moves_says_who_holds_what(ray_session: Cluster) -> None:
    ended = threading.Event()

    def start(monitor: Any) -> Iterator[pa.Table]:
        monitor.begin.remote("actor", "score", "unit 0, 3 rows to a.tar, sample 2 (k)")
        yield pa.table({})
        ended.wait(60)

    expected = r"^nothing has moved for \d+ s: score has held unit 0, 3 rows to a\.tar, .*; see limits\.stall_seconds$"
    with pytest.raises(StorageError, match=expected):
        list(watched(ray_session, start, 2, lambda *_: None))
    ended.set()


def test_a_round_that_moves_may_last_longer_than_a_stall(ray_session: Cluster) -> None:
    def start(monitor: Any) -> Iterator[pa.Table]:
        for _ in range(8):
            time.sleep(0.5)
            monitor.beat.remote()
        yield pa.table({"a": [1]})

    assert [table.num_rows for table in watched(ray_session, start, 3, lambda *_: None)] == [1]


def test_a_round_ends_with_the_error_of_whoever_worked(ray_session: Cluster) -> None:
    def start(_: Any) -> Iterator[pa.Table]:
        yield pa.table({})
        raise StorageError("s3://bucket/x: gone")

    with pytest.raises(StorageError, match="gone"):
        list(watched(ray_session, start, 60, lambda *_: None))


@pytest.mark.slow
def test_an_operator_that_always_dies_ends_the_run_by_name(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Deadly, tmp_path)
    with pytest.raises(
        StorageError, match=r"^Ray gave up: The actor is dead[^.]*; .*failing has held unit 0, .*; run again to resume$"
    ):
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0}, lambda _: None, Meter("test", [0]))


def test_a_question_without_an_answer_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "ANSWER_SECONDS", 0.2)
    never = threading.Event()
    with pytest.raises(StorageError, match=r"^the cluster has not answered for \d+ s; see limits\.stall_seconds$"):
        answered(partial(never.wait, 60))
    never.set()
    assert answered(partial(divmod, 7, 3)) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        answered(partial(divmod, 7, 0))


def test_a_fork_takes_nothing_from_the_connection_of_its_parent(ray_session: Cluster) -> None:
    class Knot:
        """Garbage that waits for a collection, as Ray Data leaves it."""

    @ray.remote(num_cpus=0)
    class Anyone:
        def work(self) -> bytes:
            return bytes(200_000)  # more than travels in a message: it is put into the store

    def tie() -> None:
        knot = Knot()
        knot.itself, knot.actor = knot, Anyone.remote()
        knot.result = knot.actor.work.remote()
        ray.get(knot.result)

    gc.disable()
    try:
        tie()
        child = get_context("fork").Process(target=gc.collect)
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert answered(ray.nodes)
    finally:
        gc.enable()


STALLING = """
import json, sys
from pathlib import Path
from pipeline import ray_runner
from tests.failing import Stalling, chain_with

chain, units = chain_with(Stalling, Path(sys.argv[1]), stall_seconds=15)
kinds, notices = [], []
def on_reports(table):
    kinds.extend(table["kind"].to_pylist())
    return set() if len(kinds) == 3 else {0}
with ray_runner.cluster(None, show_progress=False) as connection:
    meter = ray_runner.Meter("test", [0])
    rounds = ray_runner.run_ray(connection, chain, units, None, on_reports, notices.append, meter)
print(json.dumps([rounds, sorted(kinds), notices]))
"""


@pytest.mark.slow
def test_a_run_in_which_nothing_moved_starts_over_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STALLING, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=200)
    num_rounds, kinds, notices = json.loads(done.stdout.splitlines()[-1])
    assert (num_rounds, kinds) == (2, ["data", "index", "summary"])
    assert "failing has held unit 0" in notices[0]


def test_an_address_where_nobody_listens_is_refused_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot reach cluster at 127\.0\.0\.1:9"):
        connecting._connect("127.0.0.1:9")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot reach cluster at 127\.0\.0\.1:9"):
        connecting._connect(None)
    assert time.monotonic() - began < 30

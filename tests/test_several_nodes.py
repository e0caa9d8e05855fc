"""Promises 4 and 5 on clusters of several nodes: every operator on a share of a GPU, nodes lost, the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.harness import start
from tests.clusters import RunningCluster, Shape, add_node, ray_cluster
from tests.seeing import ALIVE, Head
from tests.support import build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048")
ON_GPUS = ("decode", "slice", "tokenize", "score", "pack")
SHARES = (
    "resources.read_cpus=0.2",
    "resources.decode={cpus: 0.1, gpus: 0.2, actors: [1, 2], batch_size: 2}",
    "resources.slice={cpus: 0.05, gpus: 0.2, actors: [1, 2], batch_size: 2}",
    "resources.tokenize={cpus: 0.05, gpus: 0.2, actors: [1, 2], batch_size: 2}",
    "resources.score={cpus: 0.1, gpus: 0.2, actors: [1, 2], batch_size: 2, device: cpu}",
    "resources.pack={cpus: 0.05, gpus: 0.2, batch_size: 2}",
    "resources.write={cpus: 0.2, actors: [1, 2]}",
)
"""Five pools on logical GPUs, which nothing checks; what is computed is computed on CPUs."""
HEAD, PLAIN, WITH_GPUS = Shape(1), Shape(1), Shape(1, gpus=2)
SECONDS = 300


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 4, 4)


@pytest.fixture(scope="module")
def expected(shards: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "out"
    assert build(output, shards, *SMALL)["units"]["built"] >= 3
    return tree(output)


@contextmanager
def seen(cluster: RunningCluster) -> Iterator[Head]:
    head = Head(cluster.address)
    try:
        yield head
    finally:
        head.close()


def run_on(cluster: RunningCluster, shards: str, output: Path, *options: str) -> subprocess.Popen[bytes]:
    return start(
        shards, output, (*SMALL, *SHARES), "--address", cluster.address, *options, environment=cluster.environment
    )


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """While the run goes on: it must not end before."""
    latest = time.monotonic() + SECONDS
    while not is_so():
        assert process.poll() is None, said(process)
        assert time.monotonic() < latest
        time.sleep(0.05)


def said(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=SECONDS)[1].decode(errors="replace")


def hear(words: str, process: subprocess.Popen[bytes]) -> str:
    """What the run says up to a line with these words."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.decode(errors="replace"))
        if words in lines[-1]:
            return "".join(lines)
    raise AssertionError("".join(lines))


def has_committed(output: Path) -> bool:
    return any((output / "manifests").glob("*.json"))


def test_every_operator_waits_for_a_gpu_node_and_runs_there_and_a_lost_node_costs_no_byte(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    grows = "--set=resources.grows_to=2x(cpus=1) + cpus=1,gpus=2"
    with ray_cluster(HEAD, [PLAIN]) as cluster, seen(cluster) as head:
        process = run_on(cluster, shards, tmp_path, grows)
        heard = hear("waiting for a node with 0.2 GPU for decode: the cluster has 1 CPU, 1 CPU now", process)
        add_node(cluster, WITH_GPUS)
        (with_gpus,) = [node for node, has in head.nodes().items() if has.get("GPU") == 2]
        places: dict[str, set[str]] = {}

        def are_all_seen() -> bool:
            for actor in head.actors():
                if actor.state == ALIVE:
                    places.setdefault(actor.operator, set()).add(actor.node)
            return places.keys() >= {*ON_GPUS, "write"} and has_committed(tmp_path)

        wait_until(are_all_seen, process)
        cluster.nodes[1].kill()
        heard += said(process)
        assert process.returncode == 0, heard
    assert "Traceback" not in heard
    assert all(places[operator] == {with_gpus} for operator in ON_GPUS)
    assert tree(tmp_path) == expected


@pytest.mark.slow
def test_a_lost_gpu_node_is_waited_for_and_another_takes_its_place(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    with ray_cluster(HEAD, [PLAIN, WITH_GPUS]) as cluster:
        process = run_on(cluster, shards, tmp_path)
        wait_until(lambda: has_committed(tmp_path), process)
        cluster.nodes[2].kill()
        add_node(cluster, WITH_GPUS)
        assert "Traceback" not in said(process)
        assert process.returncode == 0
    assert tree(tmp_path) == expected


@pytest.mark.slow
def test_a_gpu_that_an_autoscaling_cluster_may_grow_to_is_waited_for_with_a_line(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    fields = ("resources.score={gpus: 1, device: cpu}", "resources.grows_to=cpus=2 + 1x(cpus=1,gpus=1)")
    with ray_cluster(Shape(2), grows_by=Shape(1, gpus=1)) as cluster:
        process = start(
            shards, tmp_path, (*SMALL, *fields), "--address", cluster.address, environment=cluster.environment
        )
        heard = said(process)
        assert process.returncode == 0, heard
    line = "waiting for a node with 1 GPU for score: the cluster has 2 CPU now and may grow to 2 CPU, 1 CPU + 1 GPU"
    assert heard.count(line) == 1
    assert tree(tmp_path) == expected


@pytest.mark.slow
def test_a_pool_grows_while_rows_wait_and_its_gpu_is_free_while_write_goes_on(tmp_path: Path) -> None:
    """`write` is stopped from outside, for as long as that takes: how fast anything is decides nothing."""
    shards = write_small_shards(tmp_path / "in", 6, 8)  # as many rows as several actors are kept for
    build(tmp_path / "here", shards, *SMALL)
    score = "resources.score={cpus: 0.2, gpus: 0.25, device: cpu, actors: [1, 4], batch_size: 1}"
    fields = (
        *SMALL,
        "resources.decode={cpus: 0.2, batch_size: 2}",
        score,
        "resources.write={cpus: 0.2, actors: [1, 1]}",
    )
    with ray_cluster(Shape(4, gpus=1)) as cluster, seen(cluster) as head:
        process = start(shards, tmp_path / "out", fields, "--address", cluster.address, environment=cluster.environment)
        wait_until(lambda: head.alive("write") == 1, process)
        writer = head.pid("write")
        os.kill(writer, signal.SIGSTOP)
        most = 0

        def is_over() -> bool:
            nonlocal most
            now = head.alive("score")
            most = max(most, now)
            return most > 0 and now == 0

        wait_until(is_over, process)
        wait_until(lambda: head.free_gpus() == 1, process)
        assert not has_committed(tmp_path / "out")
        os.kill(writer, signal.SIGCONT)
        heard = said(process)
        assert process.returncode == 0, heard
    assert most > 1
    assert tree(tmp_path / "out") == tree(tmp_path / "here")

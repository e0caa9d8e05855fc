"""Kills parts of a running job by schedule, on a Ray cluster of two nodes on this host, and runs it to its end.

A schedule is a list of kills, each with its victim and its moment: when so many rows have left an operator (counted by
the run's own monitor), or so many seconds after the kill before. The job is a process of its own, as a user's is; when
it is the victim, the same command is given again, as a scheduler would.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from pipeline.ray_runner import MONITOR
from tests.support import QUICKSTART, ROOT

OPERATORS = ("decode", "slice", "tokenize", "score", "pack", "write")
DRIVER, RAYLET, CHILD = "driver", "raylet", "child"
HANG_SECONDS = 420
"""A run that has neither ended nor said a word for so long has hung: the longest sound one takes a minute."""
NODE = {"num_cpus": 2, "object_store_memory": 200 << 20}


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. operator and rows: once so many rows have left it; otherwise `seconds` after the kill before."""

    victim: str
    operator: str | None = None
    rows: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What came of one job under its kills."""

    killed: list[Kill] = field(default_factory=list)
    missed: list[Kill] = field(default_factory=list)
    """The job ended before their moments."""
    starts: int = 0
    has_hung: bool = False
    returncode: int = 0
    seconds: float = 0.0
    said: str = ""


class TwoNodes:
    """A cluster whose head stays and whose other node may be killed and comes back, as under an autoscaler."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
        self._other = self._cluster.add_node(**NODE)
        Path(ray._private.utils.get_ray_address_file(None)).unlink()  # nobody else on this machine shall find it
        ray.init(address=self.address, logging_level="ERROR", log_to_driver=False)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def raylets(self) -> list[int]:
        """Process ids of the head's raylet and of the other node's."""
        nodes = (self._cluster.head_node, self._other)
        return [node.all_processes["raylet"][0].process.pid for node in nodes]

    def kill_raylet(self) -> None:
        """Kills the other node, workers and all, and starts one in its place."""
        os.kill(self.raylets()[1], signal.SIGKILL)
        self._cluster.remove_node(self._other, allow_graceful=False)
        self._other = self._cluster.add_node(**NODE)

    def rows(self) -> dict[str, int]:
        """Rows that have left each operator of the run in hand."""
        counts: dict[str, int] = {}
        for entry in ray.util.list_named_actors(all_namespaces=True):
            if entry["name"].startswith(MONITOR):
                with suppress(ray.exceptions.RayError, ValueError):
                    monitor = ray.get_actor(entry["name"], entry["namespace"])
                    counts = ray.get(monitor.rows.remote(), timeout=10)
        return counts

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    nodes = TwoNodes()
    try:
        yield nodes
    finally:
        nodes.close()


def run_under(nodes: TwoNodes, kills: Sequence[Kill], shards: str, output: Path, fields: Sequence[str]) -> Outcome:
    """Runs the quickstart job on the cluster until it ends by itself, with each kill at its moment."""
    outcome = Outcome()
    begun = last = time.monotonic()
    left = list(kills)
    process = start(shards, output, fields, "--address", nodes.address, "--open-cluster")
    outcome.starts = 1
    while True:
        if process.poll() is not None:
            break
        if time.monotonic() - max(begun, last) > HANG_SECONDS:
            outcome.has_hung = True
            process.kill()
            break
        if left and _is_due(left[0], nodes, last) and (kill := _execute(left[0], nodes, process)):
            outcome.killed.append(kill)
            left.pop(0)
            last = time.monotonic()
            if kill.victim == DRIVER:
                process.wait()
                process = start(shards, output, fields, "--address", nodes.address, "--open-cluster")
                outcome.starts += 1
        time.sleep(0.02)
    outcome.said = (process.communicate()[1] or b"").decode(errors="replace")[-2000:]
    outcome.returncode = process.returncode
    outcome.missed = left
    outcome.seconds = time.monotonic() - begun
    return outcome


def start(
    shards: str, output: Path, fields: Sequence[str], *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The quickstart job on these shards as a process of its own. environment: in place of this process's."""
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--input", shards, "--output", str(output)]
    sets = [f"--set={field}" for field in (*fields, f"tokenizer={ROOT}/jobs/samples/tokenizer.model")]
    return subprocess.Popen(
        [*command, *sets, *options], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )


def _is_due(kill: Kill, nodes: TwoNodes, last: float) -> bool:
    if kill.operator is None:
        return time.monotonic() - last >= kill.seconds
    return nodes.rows().get(kill.operator, 0) >= kill.rows


def _execute(kill: Kill, nodes: TwoNodes, process: subprocess.Popen[bytes]) -> Kill | None:
    """The kill, if its victim was there."""
    workers = dict(job_workers(nodes))
    if kill.victim == DRIVER:
        process.kill()
        return kill
    if kill.victim == RAYLET:
        on_other = [pid for pid in workers if parent_of(pid) == nodes.raylets()[1]]
        if not on_other:  # nothing of the job is there yet
            return None
        nodes.kill_raylet()
        return kill
    if kill.victim == CHILD:
        victims = [pid for pid, title in processes() if "pipeline.guard_child" in title and parent_of(pid) in workers]
    else:
        victims = [pid for pid, title in workers.items() if f"({kill.victim.capitalize()})" in title]
    for pid in victims[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return kill
    return None


def job_workers(nodes: TwoNodes) -> list[tuple[int, str]]:
    """Actors of the job's operators on either node, by process id and title."""
    raylets = nodes.raylets()
    return [(pid, title) for pid, title in processes() if "MapBatches(" in title and parent_of(pid) in raylets]


def processes() -> list[tuple[int, str]]:
    """Every process of this machine with its command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.append((int(folder.name), (folder / "cmdline").read_bytes().decode("utf-8", "replace")))
            except OSError:  # it ended between the listing and the reading
                continue
    return found


def parent_of(pid: int) -> int:
    """The parent of a process; 0 if it is gone."""
    try:
        # Behind the name, which may hold anything, in brackets: state, parent.
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_ours(pid: int) -> bool:
    """Whether this process started it, or its parents: another cluster on the machine has actors of the same titles."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = parent_of(pid)
    return False


def draw_kills(rng: random.Random, victims: Sequence[str], rows: int) -> list[Kill]:
    """A kill of each victim in turn, half of them by rows that left an operator, half by time."""
    kills: list[Kill] = []
    for place, victim in enumerate(victims):
        if rng.random() < 0.5:
            operator = rng.choice(OPERATORS[:5])
            share = (place + rng.random()) / len(victims)
            kills.append(Kill(victim, operator, max(1, int(rows * share))))
        else:
            kills.append(Kill(victim, seconds=round(rng.uniform(0.2, 4.0), 2)))
    return kills

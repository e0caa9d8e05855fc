"""Ray clusters of several nodes on loopback, each node the processes of a `ray start` of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port

HOST = "127.0.0.1"
START_SECONDS = 120
START_TRIES = 3
"""A node gives up when the head has not answered for 30 s, which a busy machine takes at times."""
UP = "Ray runtime started"
STORE_BYTES = 200_000_000
"""Of a node's object store: several fit a small /dev/shm."""
TOKEN = "a-token-of-tests-0123456789"


@dataclass(frozen=True)
class Shape:
    """What a node says that it has; GPUs are numbers that nothing checks."""

    cpus: float
    gpus: int = 0


@dataclass
class Node:
    """The processes of one `ray start --block`, in a process group of their own."""

    process: subprocess.Popen[bytes]
    metrics_port: int

    def kill(self) -> None:
        """SIGKILL to the node as a whole, workers and all, as when a machine is lost."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class RunningCluster:
    address: str
    """Of the head's GCS, host:port: what RAY_ADDRESS and --address of `lodepack run` take."""
    dashboard: str
    """http://host:port of the Jobs API; nothing listens there without `dashboard`."""
    environment: dict[str, str]
    """For processes that are to reach it: with its token, where it asks for one."""
    nodes: list[Node] = field(default_factory=list)
    """The head first."""

    def metrics_urls(self) -> list[str]:
        """Where Prometheus would scrape each node."""
        return [f"http://{HOST}:{node.metrics_port}/metrics" for node in self.nodes]


@contextmanager
def ray_cluster(
    head: Shape,
    workers: Sequence[Shape] = (),
    *,
    dashboard: bool = False,
    token: str | None = None,
    environment: Mapping[str, str] | None = None,
    grows_by: Shape | None = None,
) -> Iterator[RunningCluster]:
    """A head node and one node a worker, up and joined. dashboard: with the Jobs API. token: asked for by all of it.

    grows_by: of one node more, which Ray's autoscaler starts on this machine where it is asked for.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | dict(environment or {})
    own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    own |= {"RAY_ENABLE_AUTO_CONNECT": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    port, web = free_port(), free_port()
    # Names of sockets may have 107 characters, fewer than a folder of pytest's and Ray's own have together.
    folder = Path(tempfile.mkdtemp(prefix="lode-ray-"))
    cluster = RunningCluster(f"{HOST}:{port}", f"http://{HOST}:{web}", own)
    first = ["--head", f"--port={port}", f"--temp-dir={folder}", f"--include-dashboard={str(dashboard).lower()}"]
    first += [f"--dashboard-host={HOST}", f"--dashboard-port={web}", f"--ray-client-server-port={free_port()}"]
    if grows_by is not None:
        config = folder / "autoscaling.json"
        config.write_text(json.dumps(_autoscaling(cluster.address, head, grows_by)))
        first.append(f"--autoscaling-config={config}")
        own |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    try:
        add_node(cluster, head, first)
        for shape in workers:
            add_node(cluster, shape)
        if dashboard:
            _wait_for(f"{cluster.dashboard}/api/version", own)
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            if node.process.poll() is None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster: RunningCluster, shape: Shape, options: Sequence[str] = ()) -> Node:
    """Starts a node, by default one that joins the cluster, and waits until it has."""
    metrics_port = free_port()
    command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
    command += list(options) or [f"--address={cluster.address}"]
    command += [f"--node-ip-address={HOST}", f"--num-cpus={shape.cpus:g}", f"--num-gpus={shape.gpus}"]
    command += [f"--object-store-memory={STORE_BYTES}", f"--metrics-export-port={metrics_port}"]
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-agent-grpc-port={free_port()}"]
    said = ""
    for _ in range(START_TRIES):
        process, said = _start(command, cluster.environment)
        if UP in said:
            cluster.nodes.append(Node(process, metrics_port))
            return cluster.nodes[-1]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind holds its ports
        process.wait()
    raise AssertionError(f"ray start did not come up:\n{said}")


def _start(command: Sequence[str], environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    """The process, and what it said until it was up, ended or took too long."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        latest = time.monotonic() + START_SECONDS
        while True:
            has_ended = process.poll() is not None or time.monotonic() > latest
            log.seek(0)
            said = log.read().decode(errors="replace")
            if UP in said or has_ended:
                return process, said
            time.sleep(0.1)


def _autoscaling(address: str, head: Shape, grows_by: Shape) -> dict[str, object]:
    """The autoscaler's configuration, with Ray's own provider of nodes that are processes of one machine."""
    module = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    more = {"CPU": grows_by.cpus, "GPU": grows_by.gpus, "object_store_memory": STORE_BYTES}
    types = {
        "ray.head.default": {"resources": {"CPU": head.cpus}, "node_config": {}, "max_workers": 0},
        "more": {"resources": more, "node_config": {}, "min_workers": 0, "max_workers": 1},
    }
    provider = {"type": "external", "module": module, "gcs_address": address}
    provider |= {"disable_launch_config_check": True, "disable_node_updaters": True}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "tests",
        "max_workers": 1,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 10,
        "provider": provider,
        "auth": {},
        "docker": {},
        "head_node_type": "ray.head.default",
        "available_node_types": types,
        "file_mounts": {},
        "cluster_synced_files": [],
        **{f"{name}_commands": [] for name in commands},
    }


def _wait_for(url: str, environment: Mapping[str, str]) -> None:
    """Until something answers there, whatever it says."""
    latest = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return  # it asks for a token: it is there
        except OSError:
            assert time.monotonic() < latest, f"nothing answers at {url}"
            time.sleep(0.2)
        else:
            return

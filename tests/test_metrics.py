"""What a run on Ray exports is what it did, and what dashboard and alerts ask for is exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.ray_runner.metrics import JOB, METRICS, OUTCOMES
from ray.util.metrics import Histogram
from tests.clusters import RunningCluster, Shape, ray_cluster
from tests.support import ROOT, write_shard, write_small_shards

DASHBOARD = ROOT / "infra" / "grafana" / "lodepack.json"
ALERTS = ROOT / "infra" / "prometheus" / "alerts.yaml"
ALERT_TESTS = ROOT / "tests" / "alerts_test.yaml"
NAME = "nightly"
GPUS = 2
FIELDS = (
    "score=null",
    "budget=none",
    "sequence_length=1024",
    "unit.target_shards=1",
    "limits.max_reject_ratio=1",
    "resources.decode={cpus: 0.4, gpus: 1, actors: [1, 2]}",
    f"name={NAME}",
    f"tokenizer={ROOT}/jobs/samples/tokenizer.model",
)
SAMPLE = re.compile(r"^(ray_lodepack_\w+)\{(.*)\} (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
METRIC_NAME = re.compile(r"\b[a-z_]+:?[a-z0-9_]*\b")
RAYS_OWN = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "JobId", "le"}
OF_TELEMETRY = "otel_scope_"


@dataclass(frozen=True)
class Exported:
    """One sample of a scrape."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Run:
    output: Path
    summary: dict[str, Any]
    samples: list[Exported]
    """Of a scrape after the run had ended."""

    def value(self, name: str, **labels: str) -> float:
        """The sum of what has these labels; below 1e-300 it is what counters begin with."""
        found = [one for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        assert found, f"{name} {labels} is not exported"
        return sum(one.value for one in found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with two rejected documents on a cluster with GPUs by name, and a scrape of its node right behind it."""
    folder = tmp_path_factory.mktemp("metrics")
    shards = write_small_shards(folder / "in", 3, 6)
    bad = {f"bad{i}.json": b"{" for i in range(2)}
    write_shard(folder / "in" / "small-000003.tar", bad | {"good.json": b'{"texts": ["A text."], "images": [null]}'})
    with ray_cluster(Shape(2, gpus=GPUS), dashboard=True) as cluster:
        summary = lodepack_run(cluster, shards.replace("000002", "000003"), folder / "out")
        yield Run(folder / "out", summary, scrape(cluster))


def lodepack_run(cluster: RunningCluster, shards: str, output: Path) -> dict[str, Any]:
    command = [shutil.which("python") or "python", "-m", "jobs", "run", str(ROOT / "jobs" / "quickstart.yaml"), "--json"]
    command += ["--input", shards, "--output", str(output), "--address", cluster.address]
    command += [f"--set={field}" for field in FIELDS]
    done = subprocess.run(command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def scrape(cluster: RunningCluster) -> list[Exported]:
    """What Prometheus would find of ours, within a second of the run's end."""
    time.sleep(1)
    found: list[Exported] = []
    for url in cluster.metrics_urls():
        with urllib.request.urlopen(url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        parts = [match.groups() for line in lines if (match := SAMPLE.match(line))]
        found += [Exported(name, dict(LABEL.findall(labels)), float(value)) for name, labels, value in parts]
    return found

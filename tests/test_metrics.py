"""What a run on Ray exports is what it did, and what dashboard and alerts ask for is exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.util.metrics import Histogram

from pipeline.ray_runner.metrics import JOB, METRICS, OUTCOMES, TOKENS
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
LABEL = re.compile(r'(\w+)(?:=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
STRING, RANGE, WORD = (
    re.compile(r'"[^"]*"'),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()"),
)
OPERATORS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
RAYS_OWN = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "le"}
VARIABLES = {"$job": NAME, "$window": "5m", "$__range": "1h"}


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
    command = [sys.executable, "-m", "jobs", "run", str(ROOT / "jobs" / "quickstart.yaml"), "--json"]
    command += ["--input", shards, "--output", str(output), "--address", cluster.address]
    command += [f"--set={field}" for field in FIELDS]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, timeout=300
    )
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


def test_every_declared_metric_is_exported_under_its_name_with_its_labels_alone(run: Run) -> None:
    expected: set[str] = set()
    for metric in METRICS:
        names = [metric.exported]
        if metric.kind is Histogram:
            names = [f"{metric.exported}_{end}" for end in ("bucket", "sum", "count")]
        expected |= {*names}
        for name in names:
            found = [one for one in run.samples if one.name == name]
            assert found, f"{name} is not exported"
            own = {label for one in found for label in one.labels} - RAYS_OWN
            assert {label for label in own if not label.startswith("otel_")} == {JOB, metric.tag} - {""}
            assert {one.labels[JOB] for one in found} == {NAME}
    assert {one.name for one in run.samples} == expected


def test_counters_are_those_of_the_version_and_begin_at_nothing(run: Run) -> None:
    totals, reasons = run.summary["totals"], run.summary["reasons"]
    for outcome in OUTCOMES:
        assert run.value("ray_lodepack_samples_total", outcome=outcome) == pytest.approx(totals["samples"][outcome])
    tokens = totals["tokens"]
    counts = tokens | {"marker": tokens["tokens"] - tokens["text"] - tokens["visual"]}
    for kind in TOKENS:
        assert run.value("ray_lodepack_tokens_total", kind=kind) == pytest.approx(counts[kind])
    assert reasons == {"field-invalid": 2}
    assert run.value("ray_lodepack_rejects_total", reason="field-invalid") == 2
    assert run.value("ray_lodepack_rejects_total") == 2
    assert 0 < run.value("ray_lodepack_rejects_total", reason="tar-header") < 1e-300
    assert run.value("ray_lodepack_packs_total") == tokens["packs"]
    assert run.value("ray_lodepack_units_total") == run.summary["units"]["built"] == 4
    files = [path for folder in ("data", "index", "rejects") for path in (run.output / folder).rglob("*.parquet")]
    assert run.value("ray_lodepack_bytes_total", way="written") == sum(path.stat().st_size for path in files)
    assert run.value("ray_lodepack_bytes_total", way="fetched") == run.summary["requests"]["bytes"]
    assert run.value("ray_lodepack_versions_total") == run.summary["version"] == 1


def test_operators_are_the_record_s_own_and_gpus_are_busy_for_their_share(run: Run) -> None:
    operators = run.summary["operators"]
    assert set(operators) == {"read", "decode", "slice", "tokenize", "pack", "write"}
    for name, done in operators.items():
        for what, number in done.items():
            assert run.value(f"ray_lodepack_operator_{what}_total", operator=name) == pytest.approx(number)
    rows = {name: done["rows"] for name, done in operators.items() if name != "write"}
    assert set(rows.values()) == {run.summary["totals"]["samples"]["read"] + 4}  # and an end of each shard
    on_gpu = sum(operators[name]["seconds"] for name in ("decode", "slice", "tokenize"))
    assert run.value("ray_lodepack_gpu_seconds_total") == pytest.approx(on_gpu)
    assert run.value("ray_lodepack_gpus_reserved") <= GPUS  # 0 where its actors had left before it was asked last


def test_units_are_timed_and_none_is_left(run: Run) -> None:
    assert run.value("ray_lodepack_units_left") == 0
    assert run.value("ray_lodepack_unit_seconds_count") == run.value("ray_lodepack_unit_fill_count") == 4
    seconds = run.summary["seconds"]
    assert run.value("ray_lodepack_unit_seconds_bucket", le="1800.0") == 4
    assert 0 <= time.time() - run.value("ray_lodepack_last_version_seconds") < 600 + seconds


def test_no_label_holds_a_path(run: Run) -> None:
    assert not [one for one in run.samples if any("/" in value for value in one.labels.values())]


def test_dashboard_and_alerts_ask_only_for_what_is_exported_and_leave_nothing_out(run: Run) -> None:
    labels: dict[str, set[str]] = {}
    for one in run.samples:
        labels.setdefault(one.name, set()).update(one.labels)
    asked: set[str] = set()
    for where, text in expressions():
        names, used = parsed(text)
        assert names, f"{where} asks for nothing: {text}"
        assert names <= set(labels), f"{where} asks for {names - set(labels)}"
        assert used <= {label for name in names for label in labels[name]}, f"{where} asks for labels {used}"
        asked |= names
    for metric in METRICS:
        name = metric.exported + ("_bucket" if metric.kind is Histogram else "")
        assert name in asked, f"nothing shows {name}"


def test_names_and_labels_are_found_in_expressions() -> None:
    text = 'sum by (a, le) (rate(x_total{b=~"c|d"}[5m])) / on (e) max(y offset 30m) > 26 * 3600 and z:w == 1'
    assert parsed(text) == ({"x_total", "y", "z:w"}, {"a", "le", "b", "e"})


def test_the_dashboard_is_one_that_grafana_can_lay_out() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in cells_of(panel["gridPos"])]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["description"] and panel["targets"] for panel in shown)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in shown)
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "window"]


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert {"summary", "description", "runbook"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert "$labels.job_name" in rule["annotations"]["summary"]


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool on this machine")
    asked = tmp_path / "dashboard.yaml"
    records = [{"record": f"panel:{i}", "expr": text} for i, (_, text) in enumerate(expressions())]
    asked.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    for arguments in (["check", "rules", str(ALERTS), str(asked)], ["test", "rules", str(ALERT_TESTS)]):
        done = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> list[tuple[str, str]]:
    """Where each expression of the dashboard and of the alerts stands, and itself, its variables filled in."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    found = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())]
    found += [(note["name"], note["expr"]) for note in board["annotations"]["list"]]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            found.append((variable["name"], f"count by ({label}) ({name})"))
    found += [(rule["alert"], rule["expr"]) for rule in rules()]
    for variable, value in VARIABLES.items():
        found = [(where, text.replace(variable, value)) for where, text in found]
    return found


def parsed(expression: str) -> tuple[set[str], set[str]]:
    """The names of metrics in an expression of PromQL, and of the labels that it selects or groups by."""
    labels = {label for _, inside in SELECTOR.findall(expression) for label, _ in LABEL.findall(inside)}
    labels |= {label.strip() for _, inside in GROUPING.findall(expression) for label in inside.split(",")}
    bare = RANGE.sub("", GROUPING.sub(" ", STRING.sub("", SELECTOR.sub(r"\1 ", expression))))
    return {word for word in WORD.findall(bare) if word.lower() not in OPERATORS}, labels - {""}


def cells_of(place: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]

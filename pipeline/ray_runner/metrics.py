"""What a run exports to Prometheus, through Ray, and nothing else: METRICS.

All of it comes from the driver. What is committed is counted from manifests, so no retry counts twice; what operators
do is heard from the run's monitor, so a thousand actors make no more series than one. Ray hands values to the node's
agent every 10 s, and the last ones when the connection closes. The agent shows counters as long as it lives, and a
gauge for 20 s after it was set: it is set again and again. A driver that is killed takes its last 10 s with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from pipeline.errors import Reason
from pipeline.ledger import add_counts, fill
from pipeline.monitor import Work
from pipeline.ray_runner.answering import answered

PREFIX = "lodepack_"
JOB = "job_name"
"""A tag of all: the job's name. Prometheus has `job` for itself, and renames the one that it scrapes."""
ZERO = math.ulp(0.0)
"""A counter takes only what is above 0, but one that is first seen at 500 has no increase that Prometheus could know
of. So each begins with the least number there is, which changes no sum."""
GPU_SECONDS = 5.0
"""Between two questions for the GPUs that are in use: Ray hands values on every 10 s."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric by its name without PREFIX. Ray puts `ray_` before it, and `_total` behind that of a Counter."""

    name: str
    kind: type[Counter | Gauge | Histogram]
    about: str
    tag: str = ""
    """Its tag beside JOB; of few values, never a path."""
    values: tuple[str, ...] = ("",)
    """Of the tag, those that are there from the start."""
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name by which Prometheus finds it; a Histogram has _bucket, _sum and _count behind that."""
        return f"ray_{PREFIX}{self.name}" + ("_total" if self.kind is Counter else "")


OUTCOMES = ("read", "derived", "repeated", "packed", "rejected", "withheld")
TOKENS = ("text", "visual", "marker", "padding", "alignment")
WAYS = ("written", "fetched")
MINUTES = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
FILLS = (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)

METRICS = (
    Metric("samples", Counter, "Samples of committed units by what became of them.", "outcome", OUTCOMES),
    Metric("rejects", Counter, "Rejected samples of committed units by reason.", "reason", tuple(map(str, Reason))),
    Metric("tokens", Counter, "Positions in packs of committed units by what they hold.", "kind", TOKENS),
    Metric("packs", Counter, "Packs of committed units."),
    Metric("bytes", Counter, "Bytes of the files of committed units, and those fetched again to write.", "way", WAYS),
    Metric("retries", Counter, "Failed tries of storage requests while committed units were written."),
    Metric("units", Counter, "Units committed."),
    Metric("units_left", Gauge, "Units that are not committed yet."),
    Metric("unit_seconds", Histogram, "From the first read of a unit to its commit.", boundaries=MINUTES),
    Metric("unit_fill", Histogram, "Share of the packs of a unit that is no padding.", boundaries=FILLS),
    Metric("reruns", Counter, "Rounds that left units open, which ran again."),
    Metric("versions", Counter, "Versions committed."),
    Metric("last_version_seconds", Gauge, "When the run committed its version, in seconds since 1970."),
    Metric("operator_seconds", Counter, "Seconds that actors worked, by operator; failed tries too.", "operator", ()),
    Metric("operator_rows", Counter, "Rows that left an operator; failed tries too.", "operator", ()),
    Metric("operator_tables", Counter, "Tables that left an operator; failed tries too.", "operator", ()),
    Metric("gpu_seconds", Counter, "Seconds that actors worked, times their share of a GPU."),
    Metric("gpus_reserved", Gauge, "GPUs that the job's actors hold, whether they work or wait."),
)


class Meter:
    """Counts what one job does, for as long as its connection lasts."""

    def __init__(self, job: str, left: Iterable[int]) -> None:
        """left: numbers of the units that are to be committed."""
        self.operators: Work = {}
        """What each operator did so far."""
        self._tags = {JOB: job}
        self._declared = {metric.name: metric for metric in METRICS}
        self._made = {metric.name: _make(metric) for metric in METRICS}
        self._began: dict[int, float] = {}
        self._left: set[int] = set()
        self._shares: Mapping[str, float] = {}
        self._most_gpus = 0.0
        self._asked = -math.inf
        self._gauges: dict[str, float] = {"gpus_reserved": 0.0}
        for metric in METRICS:
            if metric.kind is Counter:
                for value in metric.values:
                    self._count(metric.name, ZERO, value)
        self.leave(left)

    def commit(self, manifest: Mapping[str, Any], traffic: Mapping[str, int]) -> None:
        """Counts a unit that has just been committed, and what writing it asked of the stores."""
        samples, tokens = manifest["counts"]["samples"], manifest["counts"]["tokens"]
        for outcome in OUTCOMES:
            self._count("samples", samples.get(outcome, 0), outcome)
        for reason, number in manifest["reasons"].items():
            self._count("rejects", number, reason)
        for kind in TOKENS:
            self._count("tokens", tokens.get(kind, 0), kind)
        marker = tokens.get("tokens", 0) - tokens.get("text", 0) - tokens.get("visual", 0)
        self._count("tokens", marker, "marker")
        self._count("packs", tokens.get("packs", 0))
        self._count("bytes", sum(file["bytes"] for file in manifest["files"]), "written")
        self._count("bytes", traffic.get("bytes", 0), "fetched")
        self._count("retries", traffic.get("retries", 0))
        self._count("units", 1)
        if tokens.get("packs"):
            self._made["unit_fill"].observe(fill(manifest["counts"]), self._tags)

    def leave(self, left: Iterable[int]) -> None:
        """Tells the units that are left, by number; those that are no longer among them have just been committed."""
        self._left = set(left)
        self._gauges["units_left"] = len(self._left)
        self._set_gauges()
        now = time.monotonic()
        for unit in [unit for unit in self._began if unit not in self._left]:
            self._made["unit_seconds"].observe(now - self._began.pop(unit), self._tags)

    def rerun(self) -> None:
        self._count("reruns", 1)

    def publish(self) -> None:
        """A version has just been committed."""
        self._count("versions", 1)
        self._gauges["last_version_seconds"] = time.time()
        self._set_gauges()

    def reserve(self, shares: Mapping[str, float], most_gpus: float) -> None:
        """The GPUs of an actor by operator, and those of all actors of the round at most."""
        self._shares, self._most_gpus = shares, most_gpus
        for operator in shares:
            for name in ("seconds", "rows", "tables"):
                self._count(f"operator_{name}", ZERO, operator)

    def hear(self, work: Work, ages: Mapping[int, float]) -> None:
        """Counts the news of a Monitor; ages: seconds ago that each unit was begun. A unit run again has an older."""
        self.operators = add_counts(self.operators, work)
        now = time.monotonic()
        for unit, age in ages.items():
            if unit in self._left:
                self._began.setdefault(unit, now - age)
        for operator, done in work.items():
            for name, number in done.items():
                self._count(f"operator_{name}", number, operator)
            self._count("gpu_seconds", done["seconds"] * self._shares.get(operator, 0.0))
        if self._most_gpus and now - self._asked > GPU_SECONDS:
            self._asked = now
            # Other jobs of the cluster may hold some of them; more than the pools can grow to are not ours.
            self._gauges["gpus_reserved"] = min(self._most_gpus, _gpus_in_use())
        self._set_gauges()

    def _count(self, name: str, number: float, value: str = "") -> None:
        tag = self._declared[name].tag
        if number > 0:
            self._made[name].inc(number, self._tags | ({tag: value} if tag else {}))

    def _set_gauges(self) -> None:
        for name, value in self._gauges.items():
            self._made[name].set(value, self._tags)


def _make(metric: Metric) -> Any:
    kind: Any = metric.kind
    tags = (JOB, metric.tag) if metric.tag else (JOB,)
    boundaries = (list(metric.boundaries),) if kind is Histogram else ()
    return kind(PREFIX + metric.name, metric.about, *boundaries, tags)


def _gpus_in_use() -> float:
    has, free = (answered(ask).get("GPU", 0.0) for ask in (ray.cluster_resources, ray.available_resources))
    return float(has - free)

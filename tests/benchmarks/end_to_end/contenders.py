"""Who is measured: lodepack on Ray and without it, the bare loop and the usual loop, each as a command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.end_to_end.rates import Run, steady_rates
from tests.benchmarks.end_to_end.watching import MB, Watched, watch
from tests.support import ROOT

CORES = len(os.sched_getaffinity(0))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""For whoever has a process for each core. lodepack decides that by itself."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender gets: a job, its shards and a folder that is not there yet."""

    job: Path
    shards: Sequence[Path]
    output: Path


@dataclass(frozen=True, slots=True)
class Done:
    """One shard that is finished."""

    at: float
    """Seconds since 1970."""
    images: int
    tokens: int
    bytes: int
    """Of input."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work."""

    name: str
    command: Callable[[Task], list[str]]
    done: Callable[[Task, Watched], list[Done]]
    """What became of each shard."""
    extra: Callable[[Watched], dict[str, Any]]
    environment: dict[str, str] = field(default_factory=dict)


def observe(contender: Contender, task: Task) -> tuple[Run, dict[str, Any]]:
    """Runs a contender once; its figures. What it wrote is removed."""
    command = contender.command(task)
    watched = watch(command, ROOT, ENVIRONMENT | contender.environment)
    if watched.returncode:
        raise SystemExit(f"{' '.join(command)}: {watched.stdout[-2000:]}{watched.stderr[-4000:]}")
    done = contender.done(task, watched)
    shutil.rmtree(task.output, ignore_errors=True)
    images, tokens, num_bytes = (sum(getattr(one, name) for one in done) for name in ("images", "tokens", "bytes"))
    return Run(watched.wall_seconds, images, tokens, num_bytes), {
        "images": images,
        "seconds_to_first_unit": round(min(one.at for one in done) - watched.began, 2),
        "wall_seconds": round(watched.wall_seconds, 2),
        "cpu_seconds": round(watched.cpu_seconds, 2),
        "peak_mb": round(watched.peak_bytes / MB, 1),
        "largest_process_mb": round(max(one.pss for one in watched.processes) / MB, 1),
        "object_store_mb": round(watched.store_bytes / MB, 1),
        "processes": watched.by_role(),
        "watching_cpu_seconds": round(watched.watching_seconds, 2),
        **contender.extra(watched),
    }


def measure(contender: Contender, few: Task, many: Task) -> dict[str, Any]:
    """Figures of the longer run, with what was done a second beyond the shorter one."""
    short, before = observe(contender, few)
    long, figures = observe(contender, many)
    rates = steady_rates(short, long)
    return {
        "images_per_second": round(rates.images, 2),
        "tokens_per_second": round(rates.tokens),
        "mb_per_second": round(rates.bytes / MB, 2),
        "cpu_ms_per_image": round(
            1000 * (figures["cpu_seconds"] - before["cpu_seconds"]) / (long.images - short.images), 2
        ),
        **figures,
        "short_run": {name: before[name] for name in ("images", "wall_seconds", "cpu_seconds")},
    }


def _lodepack(*options: str) -> Callable[[Task], list[str]]:
    return lambda task: [
        *(sys.executable, "-m", "jobs", "run", str(task.job), "--output", str(task.output)),
        *("--no-report", "--json", *options),
    ]


def _committed(task: Task, _: Watched) -> list[Done]:
    """Units of one shard each, by the time of their manifests: a file that is created once, when the unit is there."""
    found = []
    for path in (task.output / "manifests").iterdir():
        manifest = json.loads(path.read_bytes())
        (shard,) = manifest["inputs"]
        tokens = manifest["counts"]["tokens"]["tokens"]
        found.append(Done(path.stat().st_mtime, shard["samples"], tokens, shard["bytes"]))
    return found


def _operators(watched: Watched) -> dict[str, Any]:
    """Seconds of each operator, and the share of slicing and of packing in them."""
    summary = json.loads(watched.stdout)
    seconds = {name: work["seconds"] for name, work in summary["operators"].items()}
    total = sum(seconds.values())
    return {
        "operator_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "planner_share": round(seconds.get("slice", 0.0) / total, 4),
        "packer_share": round(seconds.get("pack", 0.0) / total, 4),
    }


def _loop(module: str, *, has_job: bool) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        own = [str(task.job), str(task.output)] if has_job else []
        return [sys.executable, "-m", f"{__package__}.{module}", *own, str(CORES), *map(str, task.shards)]

    return command


def _said(_: Task, watched: Watched) -> list[Done]:
    return [Done(**line) for line in map(json.loads, watched.stdout.splitlines()) if "at" in line]


def _processor(watched: Watched) -> dict[str, Any]:
    return dict(json.loads(watched.stdout.splitlines()[0]))


def _nothing(_: Watched) -> dict[str, Any]:
    return {}


RAY = Contender("ray", _lodepack(), _committed, _operators)
LOCAL = Contender("local", _lodepack("--local", "--workers", str(CORES)), _committed, _operators)
BARE = Contender("bare", _loop("bare", has_job=True), _said, _nothing, ONE_THREAD)
USUAL = Contender("usual", _loop("usual", has_job=False), _said, _processor, ONE_THREAD)
CONTENDERS = (RAY, LOCAL, BARE, USUAL)

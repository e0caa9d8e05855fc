"""Runs a job: plans, drives the chain, commits, and tells what came of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from jobs.chain import Resolved, build_chain
from jobs.spec import absolute
from pipeline import storage
from pipeline.local_runner import run_local
from pipeline.planning import Plan, make_plan
from pipeline.sink import Sink
from pipeline.units import canonical_json


class Progress(Protocol):
    """What a screen shows of a run."""

    def start(self, plan: Plan) -> None: ...

    def advance(self, operator: str, rows: int) -> None: ...

    def commit(self, left: int) -> None: ...


def run_job(
    resolved: Resolved, *, local: bool, workers: int | None, rebuild: bool, progress: Progress
) -> dict[str, Any]:
    """Builds, finishes or brings up to date the output of a job; returns its summary.

    ConfigError before any work, StorageError when units are left over or too many samples were rejected.
    """
    job = resolved.job
    output = absolute(job.output)
    started = time.time()
    storage.sweep_temporaries(output)
    plan = make_plan(
        output,
        resolved.inputs,
        resolved.recipe,
        target_shards=job.unit.target_shards,
        limit=job.limit,
        rebuild=rebuild,
    )
    progress.start(plan)
    _record(output, resolved, {shard.name: shard.url for _, shards in resolved.inputs for shard in shards}, started)
    sink = Sink(output, plan, job.limits.max_reject_ratio)

    def on_reports(table: pa.Table) -> set[int]:
        left = sink.add(table)
        progress.commit(len(left))
        return left

    rounds = 0
    if plan.todo:
        rounds = _drive(resolved, plan, on_reports, local=local, workers=workers, progress=progress)
    number, version, is_new = sink.finish()
    return {
        "name": job.name,
        "output": job.output,
        "version": number,
        "new_version": is_new,
        "units": {"built": len(plan.todo), "kept": len(plan.done)},
        "rounds": rounds,
        "seconds": round(time.time() - started, 1),
        "sequence_length": job.sequence_length,
        "added_embeddings": resolved.vocabulary.num_added,
        **{name: version[name] for name in ("totals", "sources", "reasons", "withheld_shards")},
    }


def _drive(
    resolved: Resolved,
    plan: Plan,
    on_reports: Callable[[pa.Table], set[int]],
    *,
    local: bool,
    workers: int | None,
    progress: Progress,
) -> int:
    """Runs the units that are left; returns in how many rounds they came through."""
    chain = build_chain(resolved)
    if local:
        with closing(run_local(chain, plan.todo, progress.advance)) as all_reports:
            for reports in all_reports:
                on_reports(reports)
        return 1
    from pipeline import ray_runner  # starting Ray costs seconds that a local run need not pay

    with ray_runner.cluster(resolved.job.address, show_progress=True):
        return ray_runner.run_ray(chain, plan.todo, workers, on_reports)


def _record(output: str, resolved: Resolved, urls: dict[str, str], started: float) -> None:
    """Writes what a reader of the output may ask and no byte of the data set depends on: where, when, from what."""
    moment = datetime.fromtimestamp(started, UTC)
    record = {
        "started": moment.isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": resolved.job.model_dump(mode="json"),
        "tokenizer": absolute(resolved.job.tokenizer),
        "shards": urls,
    }
    name = f"{moment:%Y%m%dT%H%M%S.%f}-{os.getpid()}.json"
    storage.overwrite(output, f"runs/{name}", canonical_json(record))

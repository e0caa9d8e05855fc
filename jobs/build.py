"""Runs a job: plans, drives the chain, commits, and tells what came of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from jobs.chain import Resolved, build_chain
from jobs.spec import absolute
from pipeline import storage
from pipeline.closing import read_closing, units_to_close
from pipeline.local_runner import run_local, write_local
from pipeline.planning import Plan, make_plan
from pipeline.sink import Sink
from pipeline.units import canonical_json, closing_id


class Progress(Protocol):
    """What a screen shows of a run."""

    def start(self, plan: Plan) -> None: ...

    def close(self, documents: int) -> None: ...

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
        resolved.shards,
        resolved.recipe,
        target_shards=job.unit.target_shards,
        format_name=job.input.format,
        limit=job.limit,
        rebuild=rebuild,
    )
    progress.start(plan)
    _record(output, resolved, {shard.name: shard.url for shard in resolved.shards}, started)
    sink = Sink(output, plan, job.limits.max_reject_ratio)

    builder = _Builder(resolved, plan, sink, workers, progress)
    (builder.build_local if local else builder.build_on_ray)()
    number, version, is_new = sink.finish()
    return {
        "name": job.name,
        "output": job.output,
        "version": number,
        "new_version": is_new,
        "units": {"built": len(sink.manifests), "kept": len(version["units"]) - len(sink.manifests)},
        "rounds": builder.rounds,
        "seconds": round(time.time() - started, 1),
        "sequence_length": job.sequence_length,
        "added_embeddings": resolved.vocabulary.num_added,
        **{name: version[name] for name in ("totals", "reasons", "withheld_shards")},
    }


class _Builder:
    """Drives the units of a plan that are left, and then the closing unit, into the sink."""

    def __init__(self, resolved: Resolved, plan: Plan, sink: Sink, workers: int | None, progress: Progress) -> None:
        self._resolved, self._plan, self._sink = resolved, plan, sink
        self._workers, self._progress = workers, progress
        self._chain = build_chain(resolved)
        self.rounds = 0
        """That the units took; 1 unless something was lost on the way."""

    def build_local(self) -> None:
        self.rounds = int(bool(self._plan.todo))
        self._take(run_local(self._chain, self._plan.todo, self._progress.advance))
        if tasks := self._closing_tasks():
            self._take(write_local(self._chain, tasks, self._progress.advance))

    def build_on_ray(self) -> None:
        if not self._plan.todo and not self._has_closing_left():
            return
        from pipeline import ray_runner  # starting Ray costs seconds that a local run need not pay

        with ray_runner.cluster(self._resolved.job.address, show_progress=True):
            self.rounds = ray_runner.run_ray(self._chain, self._plan.todo, self._workers, self._on_reports)
            if tasks := self._closing_tasks():
                ray_runner.write_ray(self._chain, tasks, self._workers, self._on_reports)

    def _take(self, reports: Generator[pa.Table]) -> None:
        with closing(reports):
            for table in reports:
                self._on_reports(table)

    def _on_reports(self, table: pa.Table) -> set[int]:
        left = self._sink.add(table)
        self._progress.commit(len(left))
        return left

    def _has_closing_left(self) -> bool:
        """Whether units hand documents on and no closing unit has them; one that is committed is kept."""
        if not self._resolved.job.pack.closing:
            return False
        closes = units_to_close(self._sink.units)
        if not closes:
            return False
        identity = closing_id(closes, self._plan.recipe_id)
        is_there = storage.exists(storage.join(absolute(self._resolved.job.output), "manifests", f"{identity}.json"))
        if is_there:
            self._sink.keep(identity)
        return not is_there

    def _closing_tasks(self) -> list[pa.Table]:
        """The tasks of the closing unit, if it is to be built; the sink is told to wait for it."""
        if not self._has_closing_left():
            return []
        urls = {shard.name: shard.url for shard in self._resolved.shards}
        found = read_closing(absolute(self._resolved.job.output), self._plan.recipe_id, self._sink.units, urls)
        self._sink.expect(found.number, found.shards)
        self._progress.close(found.rows.num_rows)
        return list(self._chain.close(found))


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

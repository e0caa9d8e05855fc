"""Runs a job: plans, drives the chain, commits, and tells what came of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from jobs.card.card import keep_card
from jobs.chain import Resolved, build_chain
from jobs.replanning import may_replan, replan_chain
from jobs.runs import RunRecord
from jobs.secrets import redact
from jobs.spec import absolute
from jobs.stopping import ending_on_signals
from pipeline import storage
from pipeline.closing import Closing, closings, read_carried
from pipeline.errors import LodepackError, StorageError
from pipeline.leases import PRUNING, RUNNING, Lease, holding
from pipeline.ledger import add_counts
from pipeline.local_runner import run_local, write_local
from pipeline.local_workers import num_processes, run_workers
from pipeline.monitor import Work
from pipeline.planning import Plan, make_plan, remember_hashes
from pipeline.sink import Sink
from pipeline.types import Unit

if TYPE_CHECKING:
    from pipeline.ray_runner import Meter


class Progress(Protocol):
    """What a screen shows of a run."""

    def start(self, plan: Plan) -> None: ...

    def close(self, documents: int) -> None: ...

    def advance(self, operator: str, rows: int) -> None: ...

    def commit(self, left: int) -> None: ...

    def notice(self, text: str) -> None: ...


def run_job(
    resolved: Resolved, *, local: bool, workers: int | None, rebuild: bool, progress: Progress
) -> dict[str, Any]:
    """Builds, finishes or brings up to date the output of a job; returns its summary.

    ConfigError before any work, StorageError when units are left over or too many samples were rejected.
    """
    job = resolved.job
    output = absolute(job.output)
    record = RunRecord(output, resolved)
    plan = make_plan(
        output,
        resolved.inputs,
        resolved.recipe,
        target_shards=job.unit.target_shards,
        limit=job.limit,
        rebuild=rebuild,
        may_replan=may_replan,
    )
    for line in resolved.recognised.values():
        progress.notice(line)
    progress.start(plan)
    sink = Sink(output, plan, job.limits.max_reject_ratio)
    builder = _Builder(resolved, plan, sink, workers, progress)
    finished = sink.finished()
    is_new = False
    if finished is None:
        number, version, is_new = _build(builder, output, record, local=local)
    else:
        number, version = finished
        if plan.hashed or record.tells_news():  # files that moved: whoever reads the output must find them
            record.end(_outcome(builder))
    if finished is None or plan.hashed:
        remember_hashes(output, plan, sink.hashes)
    keep_card(output, number, version)  # also where nothing was left to do: a run may have been killed before
    return {
        "name": job.name,
        "output": job.output,
        "recognised": resolved.recognised,
        "version": number,
        "new_version": is_new,
        "units": {"built": len(sink.manifests), "kept": len(version["units"]) - len(sink.manifests)},
        "replanned": {"units": len(builder.replanned), "views": {"copied": 0, "rendered": 0} | sink.views},
        "requests": _total(sink.traffic.values()),
        "rounds": builder.rounds,
        "operators": builder.operators,
        "seconds": record.seconds,
        "sequence_length": job.sequence_length,
        "added_embeddings": resolved.vocabulary.num_added,
        **{name: version[name] for name in ("totals", "sources", "reasons", "withheld_shards")},
    }


def _total(traffic: Iterable[dict[str, int]]) -> dict[str, int]:
    """What `write` asked of the stores in all: ranges fetched, their bytes, and failed tries of any request of its."""
    return reduce(add_counts, traffic, asdict(storage.Traffic()))


def _build(builder: _Builder, output: str, record: RunRecord, *, local: bool) -> tuple[int, dict[str, Any], bool]:
    """Does the work of a plan; its record says how it ended. Number and content of the version, whether it is new."""
    storage.sweep_temporaries(output)
    with holding(output, RUNNING, against=PRUNING) as lease:
        record.begin()
        try:
            builder.check_kept()
            version = (builder.build_local if local else builder.build_on_ray)(lease)
        except BaseException as error:  # of a signal too: what is whole is committed, the rest leaves no trace
            with suppress(LodepackError):
                storage.sweep_temporaries(output, with_own=True)
            record.fail(error)
            raise
        record.end(_outcome(builder))
    return version


def _outcome(builder: _Builder) -> dict[str, Any]:
    """What a run did, for its record."""
    return {
        "rounds": builder.rounds,
        "built": sorted(builder.sink.manifests),
        "traffic": builder.sink.traffic,
        "operators": builder.operators,
    }


class _Builder:
    """Drives the units of a plan that are left, and then the closing unit, into the sink."""

    def __init__(self, resolved: Resolved, plan: Plan, sink: Sink, workers: int | None, progress: Progress) -> None:
        self._resolved, self._plan, self.sink = resolved, plan, sink
        self._workers, self._progress = workers, progress
        self._output = absolute(resolved.job.output)
        self._chain = build_chain(resolved)
        self.replanned = [unit for unit in plan.todo if unit.older is not None]
        """Units that start from the index of an older build."""
        others = [unit for unit in plan.todo if unit.older is None]
        parts = ((replan_chain(resolved, self._chain, self.replanned), self.replanned), (self._chain, others))
        self._parts = [(chain, units) for chain, units in parts if units]
        self.rounds = 0
        """That the units took, the most of those re-planned and of the others; 1 unless something was lost."""
        self.operators: Work = {}
        """What each operator did in this run, tries that were lost again too."""
        self._meter: Meter | None = None

    def check_kept(self) -> None:
        """StorageError if a unit that the plan found committed is gone: pruned between the plan and the run's lease."""
        there = set(storage.list_names(storage.join(self._output, "manifests")) if self._plan.done else ())
        gone = [unit for unit in self._plan.done if f"{unit}.json" not in there]
        if gone:
            raise StorageError(f"{len(gone)} units of {self._output} were pruned as the run began; run the job again")

    def build_local(self, lease: Lease) -> tuple[int, dict[str, Any], bool]:
        """Number and content of the version, and whether it is new."""
        for chain, units in self._parts:
            self.rounds = 1
            hear = (self._progress.advance, self._progress.notice, self._on_work)
            processes = self._workers or num_processes(units, chain.small_bytes)
            several = run_workers(chain, units, processes, *hear)
            self._take(several if processes > 1 else run_local(chain, units, *hear))
        if tasks := self._closing_tasks():
            self._take(write_local(self._chain, tasks, self._progress.advance, self._progress.notice, self._on_work))
        return self._finish(lease)

    def build_on_ray(self, lease: Lease) -> tuple[int, dict[str, Any], bool]:
        """As build_local."""
        if not self._plan.todo and not self._closings_left():
            return self._finish(lease)
        from pipeline import ray_runner  # starting Ray costs seconds that a local run need not pay

        with ray_runner.cluster(self._resolved.job.address, show_progress=True) as connection, ending_on_signals():
            self._meter = meter = ray_runner.Meter(redact(self._resolved.job.name), self.sink.left)
            hear = (self._workers, self._on_reports, self._progress.notice, meter)
            for chain, units in self._parts:
                self.rounds = max(self.rounds, ray_runner.run_ray(connection, chain, units, *hear))
            if tasks := self._closing_tasks():
                meter.leave(self.sink.left)
                ray_runner.write_ray(connection, self._chain, tasks, *hear)
            self.operators = meter.operators
            version = self._finish(lease)
            if version[-1]:
                meter.publish()
        return version

    def _finish(self, lease: Lease) -> tuple[int, dict[str, Any], bool]:
        lease.check()  # of a machine that slept meanwhile, what the run was to keep may have been pruned
        return self.sink.finish()

    def _take(self, reports: Generator[pa.Table]) -> None:
        with closing(reports):
            for table in reports:
                self._on_reports(table)

    def _on_reports(self, table: pa.Table) -> set[int]:
        left = self.sink.add(table)
        self._progress.commit(len(left))
        if self._meter is not None:
            for manifest in self.sink.committed:
                self._meter.commit(manifest, self.sink.traffic[manifest["unit"]])
            self._meter.leave(left)
        return left

    def _on_work(self, work: Work) -> None:
        self.operators = add_counts(self.operators, work)

    def _closings_left(self) -> list[Closing]:
        """Closing units that are to be built; those that are committed already are kept."""
        if not self._resolved.job.pack.closing:
            return []
        left = []
        for unit in closings(self.sink.units, self._plan.recipe, self._plan.sources):
            if storage.exists(storage.join(self._output, "manifests", f"{unit.unit_id}.json")):
                self.sink.keep(unit.unit_id)
            else:
                left.append(unit)
        return left

    def _closing_tasks(self) -> list[pa.Table]:
        """The tasks of the closing units that are to be built; the sink is told to wait for them."""
        urls = {shard.name: shard.url for _, shards in self._resolved.inputs for shard in shards}
        tasks: list[pa.Table] = []
        for unit in self._closings_left():
            older = [path for one in self.replanned if one.source == unit.source for path in _packs(one)]
            found = read_carried(self._output, unit, urls, sorted({*older}))
            self.sink.expect(unit.number, found.shards, unit.source)
            self._progress.close(found.rows.num_rows)
            tasks += self._chain.close(unit, found)
        return tasks


def _packs(unit: Unit) -> tuple[str, ...]:
    return unit.older.packs if unit.older is not None else ()

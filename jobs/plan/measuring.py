"""Builds the chosen shards, each as a unit of its own, in a temporary folder, and tells what became of each sample."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from jobs.build import Progress
from jobs.chain import Resolved, build_chain
from jobs.plan.choosing import Part, Stratum
from jobs.plan.headers import BYTES, MEASURES, PICTURES, SAMPLES, TEXT
from jobs.plan.packed import Packed, read_packed
from jobs.plan.timing import BUILDING, Clock, timed
from jobs.sections import computes_on
from jobs.spec import Job
from pipeline import storage
from pipeline.local_runner import run_local
from pipeline.planning import Plan
from pipeline.records import read_manifest
from pipeline.sink import Sink
from pipeline.types import Unit
from pipeline.units import recipe_hash

WARM_UP = 0
"""The number of the unit that is built first and not counted: processes start and models load meanwhile."""
WARM_UP_SAMPLES = 8
SAMPLE_BYTES = 256
"""What a sample weighs beside its texts and pictures: the frame of its JSON."""


@dataclass(slots=True)
class Measured:
    """A shard that was built."""

    part: Part
    holds: dict[str, dict[int, float]] = field(default_factory=lambda: {measure: {} for measure in MEASURES})
    """By measure, of each sample taken by its ordinal: together what the part holds."""
    packed: Packed = field(default_factory=Packed)
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds by operator."""
    wall: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Chosen shards of each source, by its label, and seconds that each operator takes to start."""

    shards: dict[str, list[Measured]]
    start_cpu: dict[str, float]
    start_wall: dict[str, float]
    operators: tuple[str, ...]
    """Names in the order of the chain."""


def measure(resolved: Resolved, plan: Plan, strata: Sequence[Stratum], progress: Progress) -> Sampling:
    """Reads, scores, packs and writes the chosen shards as a run with --local does; nothing of it is kept.

    StorageError where a shard cannot be read or the temporary folder not be written.
    """
    chosen = [(stratum.source, part) for stratum in strata for part in stratum.chosen]
    if not chosen:
        return Sampling({}, {}, {}, ())
    smallest = min(chosen, key=lambda one: one[1].num_bytes)
    units = [Unit(WARM_UP, (smallest[1].shard,), smallest[0], (WARM_UP_SAMPLES,))]
    measured: dict[int, Measured] = {}
    for number, (source, part) in enumerate(chosen, WARM_UP + 1):
        units.append(Unit(number, (part.shard,), source, None if part.take is None else (part.take,)))
        measured[number] = Measured(part)
    with _temporary() as folder:
        apart = _apart(resolved, folder)
        sample_plan = replace(plan, recipe_id=recipe_hash(apart.recipe), todo=tuple(units), done=(), withheld_shards=())
        progress.notice(_told(strata))
        sink = Sink(folder, sample_plan, max_reject_ratio=1.0)
        clock = Clock()
        chain = build_chain(apart)
        heard = timed(chain, clock, lambda unit, table: _weigh(measured.get(unit.number), table))
        with closing(run_local(heard, units, progress.advance, progress.notice, lambda _: None)) as reports:
            for table in reports:
                sink.add(table)
        found = [read_manifest(storage.join(folder, "manifests", f"{unit}.json")) for unit in sink.manifests]
        manifests = {_what(manifest["inputs"][0]): manifest for manifest in found}
        for number, one in measured.items():
            manifest = manifests[one.part.shard.name, one.part.take]
            one.packed = read_packed(folder, manifest, resolved.job.budget)
            one.holds = {measure: _scaled(of, one.part.holds[measure]) for measure, of in one.holds.items()}
            one.cpu, one.wall = ({op: s for (u, op), s in of.items() if u == number} for of in (clock.cpu, clock.wall))
    names = ("read", *(stage.name for stage in chain.stages), "pack", chain.write.name)
    start_cpu, start_wall = (_starts(of, names) for of in (clock.cpu, clock.wall))
    by_source: dict[str, list[Measured]] = {}
    for (source, _), one in zip(chosen, measured.values(), strict=True):
        by_source.setdefault(source.label, []).append(one)
    return Sampling(by_source, start_cpu, start_wall, names)


def _told(strata: Sequence[Stratum]) -> str:
    chosen = [part for stratum in strata for part in stratum.chosen]
    num_bytes = sum(part.num_bytes for part in chosen)
    total = sum(part.num_bytes for stratum in strata for part in stratum.parts)
    number = sum(len(stratum.parts) for stratum in strata)
    return f"sampling {len(chosen)} of {number} shard(s), {num_bytes / 1e6:,.1f} of {total / 1e6:,.1f} MB"


@contextmanager
def _temporary() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lodepack-plan-") as folder:
        yield folder


def _apart(resolved: Resolved, folder: str) -> Resolved:
    """The job as it is built for a forecast: somewhere else, no document left for a closing unit, on what is here."""
    job = resolved.job
    pack = job.pack.model_copy(update={"closing": False})
    sections = {name: getattr(job.resources, name).model_copy(update={"device": "cpu"}) for name in lacking_gpus(job)}
    resources = job.resources.model_copy(update=sections)
    return replace(resolved, job=job.model_copy(update={"output": folder, "pack": pack, "resources": resources}))


def lacking_gpus(job: Job) -> list[str]:
    """Operators that the job runs on GPUs, where this machine has none."""
    sections = {
        "score": job.resources.score if job.score else None,
        "filter": job.resources.filter,
        "discretise": job.resources.discretise if job.discrete else None,
    }
    wanted = [name for name, section in sections.items() if computes_on(section) == "cuda"]
    if not wanted:
        return []
    from torch import cuda  # takes seconds to import

    return [] if cuda.is_available() else wanted


def _starts(seconds: dict[tuple[int, str], float], names: Sequence[str]) -> dict[str, float]:
    """What operators took before the first counted unit; reading has nothing to start."""
    return {op: sum(seconds.get((unit, op), 0.0) for unit in (BUILDING, WARM_UP)) for op in names if op != "read"}


def _weigh(one: Measured | None, table: pa.Table) -> None:
    """Notes how heavy each sample of a table is."""
    if one is None:
        return
    for row in table.select(["ordinal", "segments", "payloads", "shard_end"]).to_pylist():
        taken = one.part.take is None or row["ordinal"] < one.part.take
        if row["shard_end"] is None and taken:
            text = SAMPLE_BYTES + sum(len(segment["text"] or "") for segment in row["segments"])
            found = {
                BYTES: text + sum(len(data or b"") for data in row["payloads"]),
                SAMPLES: 1,
                TEXT: text,
                PICTURES: len(row["payloads"]),
            }
            for measure, number in found.items():
                one.holds[measure][row["ordinal"]] = number if one.part.take is None else 1


def _scaled(held: Mapping[int, float], total: float) -> dict[int, float]:
    """What samples hold, in the same proportions, with that sum; alike if they hold nothing."""
    whole = sum(held.values())
    return {i: total * number / whole if whole else total / len(held) for i, number in held.items()}


def _what(entry: Mapping[str, Any]) -> tuple[str, int | None]:
    """Which part of which shard a unit of one shard was made of."""
    return entry["shard"], entry.get("take")

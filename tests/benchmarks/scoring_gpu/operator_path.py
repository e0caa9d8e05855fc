"""`score` as an actor of its pool runs it: batches of rows that read, decode, slice and tokenize made, on a device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.chain import build_chain, resolve_job
from jobs.plan.timing import cpu_seconds
from jobs.sections import PoolSection
from jobs.spec import load_job
from pipeline.chain import Chain
from pipeline.operator import Operator
from pipeline.types import Unit
from tests.benchmarks.end_to_end.modes import BUDGET, Mode, write_job
from tests.benchmarks.end_to_end.photographs import Photographs
from tests.benchmarks.scoring_gpu.timing import NOT_MEASURED, profiled, seconds_of, utilisation

ROWS = PoolSection().batch_size
SCORE = {"propositional": 0.34, "perspectival": 0.33, "participatory": 0.33}
PROFILED_BATCHES = 4


def measure_operator(
    folder: Path, encoder: Path, photographs: Photographs, *, images: int, bare_regions_a_second: float, device: str
) -> dict[str, Any]:
    """Rates, idle share and profile of one Score, and the CPU seconds before it and in it."""
    chain, unit = _chain(folder, encoder, photographs, images, device)
    batches, before = _fed(chain, unit)
    score = chain.stages[-1].build(lambda: None)
    score(batches[0])  # warm
    with utilisation(device) as percents:
        began = time.process_time()
        wall = seconds_of(lambda: _through(score, batches), device)
        own = time.process_time() - began
    some = batches[:PROFILED_BATCHES]
    profile = profiled(lambda: _through(score, some), device)
    count, regions = _pictures(batches)
    rate, busy = count / wall, profile.pop("busy_seconds") / _pictures(some)[0]
    cpu = (before + own) / count
    return {
        "images": count,
        "rows_a_batch": ROWS,
        "regions_an_image": round(regions / count, 2),
        "images_a_second": round(rate, 1),
        "regions_a_second": round(regions / wall),
        "share_of_the_bare_model": round(regions / wall / bare_regions_a_second, 3),
        # A profile without one kernel: the driver lets nobody count them.
        "idle_share_by_profiler": round(max(0.0, 1 - rate * busy), 3) if busy else NOT_MEASURED,
        "idle_share_by_nvml": round(1 - sum(percents) / len(percents) / 100, 3) if percents else NOT_MEASURED,
        "actors_that_fill_the_device": round(1 / (rate * busy), 1) if busy else NOT_MEASURED,
        "cpu_milliseconds_an_image": {
            "before_score": round(1e3 * before / count, 2),
            "in_score": round(1e3 * own / count, 2),
        },
        "cores_that_feed_one_actor": round(rate * cpu, 2),
        "cores_that_feed_the_bare_speed": round(bare_regions_a_second * count / regions * cpu, 1),
        "profile": profile,
    }


def _chain(folder: Path, encoder: Path, photographs: Photographs, images: int, device: str) -> tuple[Chain, Unit]:
    """A job with this encoder on this device, and its one unit."""
    shard, job = folder / "photos-000000.tar", folder / "job.yaml"
    photographs.write_shard(shard, images, 0)
    pool = {"cpus": 1.0, "gpus": 1.0 if device == "cuda" else 0.0, "actors": [1, 1], "batch_size": ROWS}
    fields = {
        "pixels": "source",
        "score": SCORE | {"encoder": str(encoder)},
        "budget": {**BUDGET, "spread": "even"},
        "resources": {"score": pool},
    }
    write_job(Mode("scoring", fields, images, None), job, [shard], folder / "out")
    given = resolve_job(load_job(str(job), []))
    ((source, shards),) = given.inputs
    return build_chain(given), Unit(0, shards, source)


def _fed(chain: Chain, unit: Unit) -> tuple[list[pa.Table], float]:
    """What comes to `score`, in batches of its pool, and the CPU seconds that it took, children's too."""
    operators = [stage.build(lambda: None) for stage in chain.stages[:-1]]
    began = cpu_seconds()
    tables = []
    for read in chain.read(unit, 0):
        table = read
        for operator in operators:
            table = operator(table)
        tables.append(table)
    spent = cpu_seconds() - began
    rows = pa.concat_tables(tables)
    return [rows.slice(start, ROWS) for start in range(0, rows.num_rows, ROWS)], spent


def _through(score: Operator, batches: Sequence[pa.Table]) -> None:
    for table in batches:
        score(table)


def _pictures(batches: Sequence[pa.Table]) -> tuple[int, int]:
    """Pictures and their regions."""
    plans = [plan for table in batches for row in table["plans"].to_pylist() for plan in row]
    return len(plans), sum(len(plan["views"]) for plan in plans)

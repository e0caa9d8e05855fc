"""Counts rejects: by reason, and by all rules of the filters that each breaks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.output import Output
from jobs.stats.facts import Facts, Refused, sample_names
from operators.write import Write
from pipeline import ledger
from pipeline.errors import Reason

COLUMNS = ("level", "id.shard", "id.ordinal", "operator", "reason", "rules")
BETWEEN_RULES = " "
"""Reasons are words with hyphens."""


def read_rejects(output: Output, path: str) -> tuple[Facts, list[str]]:
    """Counts of a unit's rejects, and the names of the samples that are in an index all the same.

    Texts and images are not told apart: rejects do not say what a segment was.
    """
    table = output.read(path, COLUMNS)
    identity = sample_names(table["id"])
    rules = pc.binary_join(table["rules"], BETWEEN_RULES)
    columns = [table["level"], table["reason"], pc.fill_null(rules, "")]
    rows = pa.table([identity, *columns], ["id", "level", "reason", "rules"])
    is_sample = pc.equal(rows["level"], ledger.SAMPLE)
    samples, segments = rows.filter(is_sample), rows.filter(pc.invert(is_sample))
    # The guilty segment of a rejected sample repeats its reason, and was not dropped by it.
    kept = segments.join(samples.select(["id", "reason"]), ["id", "reason"], join_type="left anti")
    dropped = kept.filter(pc.not_equal(kept["reason"], str(Reason.SAMPLE_REJECTED)))
    facts = Facts(reasons=Counter(_amounts(rows, "level", "reason")))
    for table_of_level in (samples, dropped):
        for (level, reason, joined), amount in _amounts(table_of_level, "level", "reason", "rules").items():
            facts.refused[Refused(level, reason, tuple(joined.split()))] += amount
    is_late = pc.and_(is_sample, pc.equal(table["operator"], Write.name))
    return facts, identity.filter(is_late).to_pylist()


def _amounts(table: pa.Table, *columns: str) -> dict[Any, int]:
    """How many rows have the same in all of `columns`."""
    grouped = table.select(columns).group_by(list(columns)).aggregate([([], "count_all")])
    rows = zip(*(grouped[name].to_pylist() for name in (*columns, "count_all")), strict=True)
    return {tuple(row[:-1]): row[-1] for row in rows}

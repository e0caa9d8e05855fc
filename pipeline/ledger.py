"""Where every sample and segment went: read + derived + repeated = packed + rejected + withheld.

A unit also counts what it `carried`: handed on to the closing unit, which counts the same below zero and packs it.
Both come to nothing in the sum of all units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.copies import num_copies
from pipeline.derived import original_of
from pipeline.errors import Reason
from pipeline.operator import Row
from pipeline.types import Rejection

SAMPLE, SEGMENT = "sample", "segment"
FILTER = "filter"
"""The operator that drops segments of samples that go on without them."""
FILTERED = "filter-"
"""What the reasons of filters begin with, also those that `pack` finds in a whole unit."""
COUNTS = ("read", "derived", "repeated", "packed", "rejected", "withheld", "carried")


def reject_rows(row: Row, rejection: Rejection | Row) -> list[Row]:
    """The rows of REJECTS that one rejected sample makes: itself, and each segment that it has left.

    The guilty segment repeats the sample's reason; the others are named as sound segments of a rejected sample.
    """
    why = rejection if isinstance(rejection, dict) else {f: getattr(rejection, f) for f in Rejection.__slots__}
    identity = {"shard": row["shard"], "key": row["key"], "ordinal": row["ordinal"]}
    common = {"id": identity, "shard": row["shard"], "operator": why["operator"]}
    place = {name: why[name] for name in ("member", "offset", "size")}
    for first in [*row["segments"], *row["dropped"]][:1]:
        if not place["member"]:
            place = {name: first[name] for name in ("member", "offset", "size")}
    cause = {name: why[name] for name in ("reason", "detail", "rules")}
    rows = [common | place | {"level": SAMPLE, "segment": None} | cause]
    for i, segment in enumerate(row["segments"]):
        is_guilty = i == why["segment"]
        rows.append(
            common
            | {name: segment[name] for name in ("member", "offset", "size")}
            | {"level": SEGMENT, "segment": segment["number"]}
            | (cause if is_guilty else {"reason": str(Reason.SAMPLE_REJECTED), "detail": "", "rules": []})
        )
    return rows


def dropped_rows(row: Row) -> list[Row]:
    """The rows of REJECTS of the segments that filters took out of a sample, which may go on without them."""
    identity = {"shard": row["shard"], "key": row["key"], "ordinal": row["ordinal"]}
    common = {"level": SEGMENT, "id": identity, "shard": row["shard"], "operator": FILTER}
    return [common | dropped for dropped in row["dropped"]]


def sort_rejects(rows: Iterable[Row], shard_order: dict[str, int]) -> list[Row]:
    """Rejects in the order of the input, each once: a split sample is reported by every file that held a part."""
    unique = {
        (shard_order[r["shard"]], r["id"]["ordinal"], -1 if r["segment"] is None else r["segment"]): r for r in rows
    }
    return [unique[key] for key in sorted(unique)]


def num_filtered(reasons: Mapping[str, int]) -> int:
    """Samples that the job's own filters rejected, among rejected samples by reason."""
    return sum(number for reason, number in reasons.items() if reason.startswith(FILTERED))


def without_copies(counts: dict[str, dict[str, int]], late: Iterable[Row], weight: float) -> dict[str, dict[str, int]]:
    """Counts of a unit that repeat nothing of the rejects found while it was written, each given once."""
    kept = {level: dict(found) for level, found in counts.items()}
    for row in late:
        kept[row["level"]]["repeated"] -= num_copies(row["shard"], original_of(row["id"]["ordinal"]), weight) - 1
    return kept


def close_counts(counts: dict[str, dict[str, int]], rejects: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Counts of a unit by level (`samples`, `segments`), `rejected` and `packed` filled in from its final rejects."""
    rejected = Counter(row["level"] for row in rejects)
    closed: dict[str, dict[str, int]] = {}
    for level, found in counts.items():
        total = {name: found.get(name, 0) for name in COUNTS} | {"rejected": rejected[level]}
        total["packed"] = sum(total[name] for name in ("read", "derived", "repeated")) - sum(
            total[name] for name in ("rejected", "withheld", "carried")
        )
        closed[f"{level}s"] = total
    return closed


def add_counts(into: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Sums numbers at any depth; the keys of both are kept."""
    total = dict(into)
    for key, value in more.items():
        total[key] = add_counts(total.get(key, {}), value) if isinstance(value, dict) else total.get(key, 0) + value
    return total


def fill(totals: Mapping[str, Any]) -> float:
    """The share of the packs of some totals that is no padding, from 0 to 1; 0 without a pack."""
    tokens = totals.get("tokens", {})
    used = int(tokens.get("tokens", 0))
    return round(used / max(1, used + int(tokens.get("padding", 0)) + int(tokens.get("alignment", 0))), 6)

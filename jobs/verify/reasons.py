"""Whether what is said of rejected samples and segments is of the operator that says so, and of the job's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FILTER = "filter"
"""The operator that drops segments of samples that go on without them."""
PACK = "pack"
FILTERED = "filter-"
SOUND = "sample-rejected"


def reason_faults(row: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    """What contradicts itself in a row of the rejects, a line each. recipe: of its unit."""
    operator, reason, rules = row["operator"], row["reason"], row["rules"]
    filters = recipe["job"].get("filters") or {"rules": (), "dedup": None}
    if operator == FILTER and reason != SOUND:
        of_job = {FILTERED + name.removeprefix("node_").replace("_", "-") for name in filters["rules"]}
        if [*rules[:1]] != [reason] or not set(rules) <= of_job:
            yield f"breaks the rules {rules}, and has the reason {reason}; the job's rules, and the first, expected"
        return
    if rules:
        yield f"breaks the rules {rules}; none expected of what {operator} calls {reason}"
    if reason.startswith(FILTERED) and (operator != PACK or not filters["dedup"]):
        yield f"has the reason {reason} of {operator}, which applies no such rule"

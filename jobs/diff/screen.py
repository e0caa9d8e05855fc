"""What `diff` found, in words; it adds no facts of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_NAMES = 5
"""Shards, units or recipe fields of one kind that are told by name; --json has all."""
CHANGES = ("added", "removed", "changed")
WORDS = {
    "added": "holds new {}",
    "removed": "holds {}, which went",
    "changed": "other content of {}",
    "left": "its counterpart also has {}",
    "moved": "a border moved: {}",
}
"""How a cause is told; {} are the shards."""


def to_lines(report: Mapping[str, Any]) -> list[str]:
    """The report for a terminal: what did not change is not told, but for what is kept."""
    return [
        f"{report['output']}: version {report['from']} to {report['to']}",
        *_inputs(report["inputs"]),
        *_listed("recipe", report["recipe"]),
        *_listed("sources", report["sources"]),
        *_units(report["units"]),
        *_counts("", report["counts"]["all"]),
        *(line for name, counts in report["counts"]["sources"].items() for line in _source(name, report, counts)),
        *_changes("rejected", report["reasons"]),
        *_changes("withheld", {"shards": report["withheld_shards"]}),
    ]


def _inputs(inputs: Mapping[str, Any]) -> Iterator[str]:
    for source, found in inputs.items():
        told = [f"{len(found[change]):,} {change} ({_names(found[change])})" for change in CHANGES if found[change]]
        kept = f"{found['kept']:,} kept"
        yield f"shards of {source}: {', '.join([*told, kept])}"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}: {len(lines):,} field(s)"
        yield from (f"  {line}" for line in lines[:MAX_NAMES])
    if len(lines) > MAX_NAMES:
        yield f"  and {len(lines) - MAX_NAMES:,} more; --json has all"


def _units(units: Mapping[str, Any]) -> Iterator[str]:
    yield f"units: {len(units['new']):,} new, {len(units['gone']):,} gone, {units['kept']:,} kept"
    for kind in ("new", "gone"):
        for unit in units[kind][:MAX_NAMES]:
            yield f"  {kind} {unit['unit']} of {_names(unit['shards']) or 'no shard of its own'}: {_why(unit)}"
        if len(units[kind]) > MAX_NAMES:
            yield f"  and {len(units[kind]) - MAX_NAMES:,} more {kind}; --json has all"


def _why(unit: Mapping[str, Any]) -> str:
    causes = [words.format(_names(unit[cause])) for cause, words in WORDS.items() if cause in unit]
    if "recipe" in unit:
        causes.append("another recipe")
    if "closes" in unit:
        causes.append("closes other units")
    return "; ".join(causes)


def _source(name: str, report: Mapping[str, Any], counts: Mapping[str, Any]) -> Iterator[str]:
    """Told where there are several."""
    if len(report["counts"]["sources"]) > 1:
        yield from _counts(f"{name}: ", counts)


def _counts(prefix: str, counts: Mapping[str, Any]) -> Iterator[str]:
    for section, found in counts.items():
        if section != "fill":
            yield from _changes(f"{prefix}{section}", found)
    old, new = counts["fill"]
    if old != new:
        yield f"{prefix}fill: {old:.4f} to {new:.4f}"


def _changes(title: str, pairs: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """One line of the counts that changed; none if none did."""
    told = [f"{name} {old:,} to {new:,} ({new - old:+,})" for name, (old, new) in pairs.items() if old != new]
    if told:
        yield f"{title}: {', '.join(told)}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}"

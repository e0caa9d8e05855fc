"""Prints a forecast, for people; it adds no facts of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.terminal import printable
from pipeline.types import ONLY_SOURCE

MOST_UNITS = 10
"""Units whose reasons fit a screen."""
ROWS = {
    "samples": "samples read",
    "packed": "samples packed",
    "rejected": "samples rejected",
    "images": "images",
    "tokens": "tokens",
    "text_tokens": "text",
    "visual_tokens": "visual",
    "sequences": "sequences",
    "fill": "fill",
    "output_bytes": "output",
    "cpu_hours": "CPU-hours",
    "gpu_hours": "GPU-hours held",
    "wall_seconds": "wall time",
}
"""What each number is called."""
OF_SOURCES = ("samples", "rejected", "tokens", "visual_tokens", "output_bytes")

Figures = Mapping[str, Any]


def print_forecast(found: Figures) -> None:
    """Units, pools, the forecast, and warnings last, where they are seen."""
    console = Console(highlight=False, markup=False, emoji=False)
    units = found["units"]
    console.print(printable(f"{found['name']} → {found['output']}"), style="bold", soft_wrap=True)
    kept = f", {units['committed']} committed before" if units["committed"] else ""
    older = f", {units['replanned']} of them from indexes of an older build" if units["replanned"] else ""
    console.print(f"to build: {units['to_build']} unit(s) of {units['shards']} shard(s){older}{kept}")
    if units["withheld_shards"]:
        console.print(f"withheld by a limit: {units['withheld_shards']} further shards")
    if not units["to_build"]:
        console.print("nothing to do: no forecast is needed")
        return
    sampled = found["sampled"]
    where = found["cluster"] or "this machine, without Ray"
    console.print(
        f"from {len(sampled['shards'])} of {sampled['of']} shard(s), {sampled['documents']:,} documents, "
        f"{sampled['bytes'] / 1e6:,.1f} of {sampled['of_bytes'] / 1e6:,.1f} MB; on {where}"
    )
    tables = [_units(units["why"]), _pools(found["pools"]), _forecast(found), _operators(found)]
    tables += [_sources(found["sources"])] if list(found["sources"]) != [ONLY_SOURCE] else []
    for table in tables:
        console.print(table)
    if found["slowest"]:
        console.print(f"what takes longest: {found['slowest']}")
    for warning in found["warnings"]:
        console.print(printable(f"warning: {warning['text']}"), style="yellow", soft_wrap=True)


def _units(why: Sequence[Figures]) -> Table:
    more = f"; {len(why) - MOST_UNITS} more: --json" if len(why) > MOST_UNITS else ""
    table = _table(f"units to build{more}", ["source", "shards", "why"], left=3)
    for unit in why[:MOST_UNITS]:
        first, last = unit["shards"][0], unit["shards"][-1]
        names = first if len(unit["shards"]) == 1 else f"{first} … {last} ({len(unit['shards'])})"
        _add(table, unit["source"], names, f"{unit['why']}{' (re-planned)' if unit['replanned'] else ''}")
    return table


def _pools(pools: Sequence[Figures]) -> Table:
    table = _table("pools", ["operators", "CPUs", "GPUs", "actors"])
    for pool in pools:
        least, most = pool["actors"]
        actors = f"{least}" if least == most else f"{least} to {most}"
        _add(table, " ".join(pool["operators"]), f"{pool['cpus']:g}", f"{pool['gpus']:g}", actors)
    return table


def _forecast(found: Figures) -> Table:
    table = _table("forecast", ["what", "about", "at least", "at most"])
    for name, called in ROWS.items():
        one = found["forecast"][name]
        _add(table, called, *(("-",) * 3 if one is None else (_shown(name, one[end]) for end in _ENDS)))
        if name == "rejected":
            for reason, amount in sorted(found["rejects"].items(), key=lambda item: -item[1]["value"]):
                _add(table, f"  {reason}", *(_shown(name, amount[end]) for end in _ENDS))
    return table


def _operators(found: Figures) -> Table:
    table = _table("CPU-hours by operator", ["operator", "about", "at least", "at most"])
    for name, one in found["operators"].items():
        _add(table, name, *(_shown("cpu_hours", one[end]) for end in _ENDS))
    return table


def _sources(sources: Mapping[str, Figures]) -> Table:
    table = _table("sources", ["source", "weight", "shards", *(ROWS[name] for name in OF_SOURCES)])
    for name, one in sources.items():
        cells = (_shown(of, one[of]["value"]) for of in OF_SOURCES)
        _add(table, name, f"{one['weight']:g}", f"{one['shards']:,}", *cells)
    return table


_ENDS = ("value", "low", "high")


def _shown(name: str, value: float) -> str:
    if name == "fill":
        return f"{value:.4f}"
    if name == "output_bytes":
        return f"{value / 1e6:,.1f} MB" if value < 1e9 else f"{value / 1e9:,.1f} GB"
    if name.endswith("_hours"):
        return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
    if name == "wall_seconds":
        return _duration(value)
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    # A name may look like rich's markup: Text takes it as it is.
    table.add_row(*(Text(printable(cell)) for cell in cells))

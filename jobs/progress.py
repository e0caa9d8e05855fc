"""What a person sees of a run: a bar per operator locally, Ray's own on a cluster, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from jobs.secrets import redact
from jobs.terminal import printable
from pipeline.planning import Plan
from pipeline.types import ONLY_SOURCE

SAMPLE_COUNTS = ("read", "derived", "repeated", "packed", "rejected", "withheld")
WHERE_ANY = ("derived", "repeated")
"""Counts that are told of where there are any."""
LINE_SECONDS = 10.0
"""In the log of a cluster's job a line for each unit would bury all others."""


class Screen:
    """What is to be built and, on a terminal, bars; otherwise a line every now and then. Nothing at all where `quiet`.

    `bars` off leaves them to Ray.
    """

    def __init__(self, *, quiet: bool, bars: bool = True) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not bars or not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._units = 0
        self._told = time.monotonic()
        """When the last line was printed; there is none where bars are."""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, plan: Plan) -> None:
        self._units = len(plan.todo)
        if plan.todo:
            shards = sum(len(unit.shards) for unit in plan.todo)
            kept = f", {len(plan.done)} committed before" if plan.done else ""
            older = sum(unit.older is not None for unit in plan.todo)
            replanned = f", {older} re-planned from their indexes" if older else ""
            self._console.print(f"to build: {len(plan.todo)} unit(s) of {shards} shard(s){replanned}{kept}")
            self._told = time.monotonic()
            self._tasks["units"] = self._bars.add_task("units", total=self._units)

    def close(self, documents: int) -> None:
        self._console.print(f"to build: the closing unit of {documents} document(s)")
        self._units += 1
        if "units" not in self._tasks:
            self._tasks["units"] = self._bars.add_task("units")
        self._bars.update(self._tasks["units"], total=self._units)

    def advance(self, operator: str, rows: int) -> None:
        if operator not in self._tasks:
            self._tasks[operator] = self._bars.add_task(operator, total=None)
        self._bars.advance(self._tasks[operator], rows)

    def notice(self, text: str) -> None:
        self._console.print(printable(redact(text)), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def commit(self, left: int) -> None:
        self._bars.update(self._tasks["units"], completed=self._units - left)
        if not self._console.is_terminal and time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self._console.print(f"{self._units - left:,} of {self._units:,} unit(s) committed")


def print_summary(summary: dict[str, Any]) -> None:
    """The outcome of a run: packs, tokens, fill, rejects."""
    console = Console()
    totals = summary["totals"]
    sample, segment = totals.get("samples", {}), totals.get("segments", {})
    tokens, packs = totals.get("tokens", {}), totals.get("packs", {})
    if not summary["units"]["built"]:
        state = "nothing to do" if not summary["new_version"] else "nothing to build"
        console.print(f"{state}: {summary['units']['kept']} unit(s) committed before")
    # A name or a path may look like rich's markup: Text takes it as it is.
    title = printable(f"{summary['name']} → {summary['output']} (version {summary['version']})")
    table = Table(title=Text(title, style="table.title"), title_justify="left")
    table.add_column("what")
    table.add_column("how many", justify="right")
    used, padding = tokens.get("tokens", 0), tokens.get("padding", 0) + tokens.get("alignment", 0)
    fill = used / (used + padding) if used else 0.0
    aligned = f", {tokens['alignment']:,} of alignment beside them" if tokens.get("alignment") else ""
    rows = {
        "packs": f"{tokens.get('packs', 0):,} of {summary['sequence_length']:,} tokens each",
        "fewest possible": f"{packs.get('bound', 0):,}",
        "tokens": f"{used:,} ({tokens.get('text', 0):,} text, {tokens.get('visual', 0):,} visual{aligned})",
        "fill": f"{fill:.4f}",
        "samples": _counts(sample),
        "segments": _counts(segment),
        "units": f"{summary['units']['built']} built, {summary['units']['kept']} kept",
        **_replanned(summary["replanned"]),
        **_retried(summary["requests"]),
        "embeddings to add": f"{summary['added_embeddings']}",
        "seconds": f"{summary['seconds']}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    if list(summary["sources"]) != [ONLY_SOURCE]:
        console.print(_sources(summary["sources"]))
    for reason, count in sorted(summary["reasons"].items(), key=lambda item: -item[1]):
        console.print(printable(f"rejected {reason}: {count}"), markup=False, emoji=False)
    if summary["withheld_shards"]:
        console.print(f"withheld by a limit: {len(summary['withheld_shards'])} further shards, not read")
    lines = [f"check it: lodepack verify {summary['output']}"]
    if "report" in summary:
        lines.append(f"look at it: {summary['report']}")
    for line in lines:
        console.print(printable(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _replanned(found: dict[str, Any]) -> dict[str, str]:
    """How much of the run was re-planned; no line if nothing was."""
    if not found["units"]:
        return {}
    views = ", ".join(f"{number:,} {how}" for how, number in found["views"].items())
    return {"re-planned": f"{found['units']} units; views: {views}"}


def _retried(found: dict[str, int]) -> dict[str, str]:
    """How often a store failed `write`; no line if it never did."""
    if not found["retries"]:
        return {}
    size = found["bytes"] / 1e6
    return {"storage": f"{found['retries']:,} retries; {found['requests']:,} ranges of {size:,.1f} MB read to write"}


def _sources(sources: Mapping[str, Any]) -> Table:
    """A line a source: what became of its samples, and its share of the tokens. What no source has, has no column."""
    samples = {name: source["totals"].get("samples", {}) for name, source in sources.items()}
    shown = [count for count in SAMPLE_COUNTS if any(found.get(count) for found in samples.values())]
    table = Table(title="sources", title_justify="left")
    for name in ("source", "weight", *shown, "tokens", "share"):
        table.add_column(name, justify="left" if name == "source" else "right")
    tokens = {name: source["totals"].get("tokens", {}).get("tokens", 0) for name, source in sources.items()}
    for name, source in sources.items():
        counts = (f"{samples[name].get(count, 0):,}" for count in shown)
        share = tokens[name] / max(1, sum(tokens.values()))
        table.add_row(name, f"{source['weight']:g}", *counts, f"{tokens[name]:,}", f"{share:.1%}")
    return table


def _counts(found: dict[str, int]) -> str:
    """What became of samples or segments; derived ones and copies are told of where there are any."""
    shown = [name for name in SAMPLE_COUNTS if name not in WHERE_ANY or found.get(name)]
    return ", ".join(f"{found.get(name, 0):,} {name}" for name in shown)

"""Prints what `statistics` found, for people; it adds no facts of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.stats.gather import DOCUMENTS
from jobs.stats.tables import FILTER_REASONS
from jobs.terminal import printable

MAX_RULES = 10
"""Rows and columns of an overlap that fit a screen; the rules that remove most."""
FILTER_COUNTS = ("first", "also", "alone")
EVERYTHING = "in all"

Figures = Mapping[str, Any]
Named = Sequence[tuple[str, Figures]]


def print_statistics(report: Figures) -> None:
    """A table a question, a line a source; what no source has, has no line."""
    console = Console(highlight=False, markup=False, emoji=False)
    found = list(report["sources"].items())
    if len(found) > 1:
        found.append((EVERYTHING, report["all"]))
    title = f"{report['output']} version {report['version']}: {report['profile']}"
    console.print(printable(title), style="bold", soft_wrap=True)
    everything = report["all"]
    tables = [_documents(found), _images(found), _tokens(found), _filters(found)]
    tables += [_overlap(level, everything) for level in ("documents", "segments")]
    for table in (*tables, _reasons(found)):
        if table.row_count:
            console.print(table)


def _documents(found: Named) -> Table:
    shown = [name for name in DOCUMENTS if any(figures["documents"][name] for _, figures in found)]
    table = _table("documents", "source", shown)
    for name, figures in found:
        _add(table, name, *(f"{figures['documents'][count]:,}" for count in shown))
    return table


def _images(found: Named) -> Table:
    bins = [_bin(bar) for bar in found[0][1]["images"]["histogram"]]
    spread = ("images", "mean", "median", "max")
    table = _table("images of a packed document", "source", [*spread, *bins, "none", "texts", "mean", "median", "max"])
    for name, figures in found:
        images, texts, documents = figures["images"], figures["texts"], figures["documents"]
        bars = (f"{bar['documents']:,}" for bar in images["histogram"])
        none = _percent(documents["without_image"], documents["packed"])
        _add(table, name, *_amounts(images), *bars, none, *_amounts(texts))
    return table


def _amounts(figures: Figures) -> Iterator[str]:
    yield f"{figures['total']:,}"
    yield from _spread(figures["per_document"])


def _tokens(found: Named) -> Table:
    each = ("an image: mean", "median", "a text: mean", "median")
    table = _table("tokens", "source", ["text", "visual", "markers", *each, "text : visual", "visual share"])
    for name, figures in found:
        tokens = figures["tokens"]
        counts = (f"{tokens[kind]:,}" for kind in ("text", "visual", "markers"))
        spreads = [list(_spread(figures[kind]["tokens_each"]))[:2] for kind in ("images", "texts")]
        ratio = "-" if tokens["visual_per_text"] is None else f"1 : {tokens['visual_per_text']:.2f}"
        share = _percent(tokens["visual"], tokens["total"])
        _add(table, name, *counts, *spreads[0], *spreads[1], ratio, share)
    return table


def _filters(found: Named) -> Table:
    columns = [f"{level} {count}" for level in ("documents", "segments") for count in FILTER_COUNTS]
    table = _table("removed by filters", "source", ["rule", *columns])
    table.columns[1].justify = "left"
    for name, figures in found:
        documents, segments = figures["filters"]["documents"], figures["filters"]["segments"]
        none = dict.fromkeys(FILTER_COUNTS, 0)
        rules = documents.keys() | segments.keys()
        order = sorted(rules, key=lambda rule: (-_first(documents, rule) - _first(segments, rule), rule))
        for rule in order:
            counts = (level.get(rule, none)[count] for level in (documents, segments) for count in FILTER_COUNTS)
            _add(table, name, rule, *(f"{count:,}" for count in counts))
    return table


def _overlap(level: str, figures: Figures) -> Table:
    """How many break both of two rules; none where no two rules judged this level."""
    both = figures["overlap"][level]
    largest = sorted(both, key=lambda rule: (-both[rule][rule], rule))[:MAX_RULES]
    rules = largest if len(both) > 1 else []
    more = f"; {len(both) - len(rules)} more rules: --json" if len(both) > len(rules) else ""
    numbers = [f"{i}" for i in range(1, len(rules) + 1)]
    table = _table(f"{level} that break both of two rules{more}", "rule", numbers)
    for number, rule in enumerate(rules, 1):
        _add(table, f"{number} {rule}", *(f"{both[rule][other]:,}" for other in rules))
    return table


def _reasons(found: Named) -> Table:
    table = _table("rejected for other reasons", "source", ["reason", "documents"])
    table.columns[1].justify = "left"
    for name, figures in found:
        reasons = figures["reasons"]["documents"]
        others = {reason: n for reason, n in reasons.items() if not reason.startswith(FILTER_REASONS)}
        for reason, amount in sorted(others.items(), key=lambda item: (-item[1], item[0])):
            _add(table, name, reason, f"{amount:,}")
    return table


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    # Text takes a name that looks like rich's markup as it is.
    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _bin(bar: Figures) -> str:
    if bar["most"] is None:
        return f"{bar['least']}+"
    return f"{bar['least']}" if bar["least"] == bar["most"] else f"{bar['least']}-{bar['most']}"


def _spread(figures: Figures) -> Iterator[str]:
    """Mean, median and maximum as cells."""
    for name, digits in (("mean", 1), ("median", None), ("max", None)):
        value = figures[name]
        yield "-" if value is None else f"{value:,.1f}" if digits else f"{value:,g}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _first(level: Mapping[str, Mapping[str, int]], rule: str) -> int:
    return level[rule]["first"] if rule in level else 0

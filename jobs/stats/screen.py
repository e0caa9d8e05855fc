"""Prints what `statistics` found, for people; it adds no facts of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.stats.gather import DOCUMENTS
from jobs.stats.tables import LEVELS
from jobs.terminal import printable
from pipeline.ledger import FILTERED

MAX_RULES = 10
"""Rows and columns of an overlap that fit a screen; the rules that remove most."""
SPREAD = ("mean", "median", "max")
FILTER_COUNTS = ("first", "also", "alone")
EVERYTHING = "in all"

Figures = Mapping[str, Any]
Named = Sequence[tuple[str, Figures]]


def print_statistics(report: Figures) -> None:
    """A table a question, a line a source; a question that nothing in the data set answers has no table."""
    console = Console(highlight=False, markup=False, emoji=False)
    found = list(report["sources"].items())
    if len(found) > 1:
        found.append((EVERYTHING, report["all"]))
    title = f"{report['output']} version {report['version']}: {report['profile']}"
    console.print(printable(title), style="bold", soft_wrap=True)
    tables = [_documents(found), _contents(found), _histogram(found), _tokens(found)]
    tables += [_filters(found, level) for level in LEVELS]
    tables += [_overlap(report["all"], level) for level in LEVELS]
    for table in (*tables, _reasons(found)):
        if table.row_count:
            console.print(table)


def _documents(found: Named) -> Table:
    shown = [name for name in DOCUMENTS if any(figures["documents"][name] for _, figures in found)]
    table = _table("documents", [*shown, "without image"])
    for name, figures in found:
        documents = figures["documents"]
        counts = (f"{documents[count]:,}" for count in shown)
        _add(table, name, *counts, _percent(documents["without_image"], documents["packed"]))
    return table


def _contents(found: Named) -> Table:
    columns = ("what", "in all", "a document: mean", "median", "max", "tokens of one: mean", "median")
    table = _table("texts and images of packed documents", columns)
    table.columns[1].justify = "left"
    for name, figures in found:
        for kind in ("texts", "images"):
            per_document, (mean, median, _) = (_spread(figures[kind][of]) for of in ("per_document", "tokens_each"))
            _add(table, name, kind, f"{figures[kind]['total']:,}", *per_document, mean, median)
    return table


def _histogram(found: Named) -> Table:
    table = _table("packed documents by their number of images", [_bin(bar) for bar in _bars(found[0][1])])
    for name, figures in found:
        _add(table, name, *(f"{bar['documents']:,}" for bar in _bars(figures)))
    return table


def _bars(figures: Figures) -> Sequence[Figures]:
    return list(figures["images"]["histogram"])


def _tokens(found: Named) -> Table:
    table = _table("tokens", ["text", "visual", "markers", "text : visual", "visual share"])
    for name, figures in found:
        tokens = figures["tokens"]
        counts = (f"{tokens[kind]:,}" for kind in ("text", "visual", "markers"))
        ratio = "-" if tokens["visual_per_text"] is None else f"1 : {tokens['visual_per_text']:.2f}"
        _add(table, name, *counts, ratio, _percent(tokens["visual"], tokens["total"]))
    return table


def _filters(found: Named, level: str) -> Table:
    table = _table(f"{level} that filters removed", ["rule", *FILTER_COUNTS])
    table.columns[1].justify = "left"
    for name, figures in found:
        rules = figures["filters"][level]
        for rule in sorted(rules, key=lambda rule: (-rules[rule]["first"], rule)):
            _add(table, name, rule, *(f"{rules[rule][count]:,}" for count in FILTER_COUNTS))
    return table


def _overlap(figures: Figures, level: str) -> Table:
    """How many break both of two rules; none where no two rules judged this level."""
    both = figures["overlap"][level]
    largest = sorted(both, key=lambda rule: (-both[rule][rule], rule))[:MAX_RULES]
    rules = largest if len(both) > 1 else []
    more = f"; {len(both) - len(rules)} more rules: --json" if len(both) > len(rules) else ""
    numbers = [f"{i}" for i in range(1, len(rules) + 1)]
    table = _table(f"{level} that break both of two rules{more}", numbers, "rule")
    for number, rule in enumerate(rules, 1):
        _add(table, f"{number} {rule}", *(f"{both[rule][other]:,}" for other in rules))
    return table


def _reasons(found: Named) -> Table:
    table = _table("documents rejected for other reasons", ["reason", "documents"])
    table.columns[1].justify = "left"
    for name, figures in found:
        reasons = figures["reasons"]["documents"]
        others = {reason: n for reason, n in reasons.items() if not reason.startswith(FILTERED)}
        for reason, amount in sorted(others.items(), key=lambda item: (-item[1], item[0])):
            _add(table, name, reason, f"{amount:,}")
    return table


def _table(title: str, columns: Sequence[str], first: str = "source") -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")  # a number that is cut would be another one
    return table


def _add(table: Table, *cells: str) -> None:
    # A name may look like rich's markup: Text takes it as it is.
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _bin(bar: Figures) -> str:
    if bar["most"] is None:
        return f"{bar['least']}+"
    return f"{bar['least']}" if bar["least"] == bar["most"] else f"{bar['least']}-{bar['most']}"


def _spread(figures: Figures) -> list[str]:
    """Mean, median and maximum as cells."""
    return ["-" if value is None else f"{round(value, 1):,.9g}" for value in map(figures.get, SPREAD)]


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"

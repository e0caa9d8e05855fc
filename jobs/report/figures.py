"""Histograms and tables of the page: counted already, put in order here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.output import Output
from jobs.stats.facts import Facts
from pipeline.errors import Reason

MAX_COLUMNS = 32
MAX_EXAMPLES = 5
"""Rejects that are shown of each reason."""
STEPS = (1, 2, 5)
EXAMPLE_COLUMNS = ("level", "id", "operator", "reason", "shard", "member", "offset", "size", "detail")

Histogram = dict[str, Any]


def histogram(title: str, unit: str, found: Mapping[int, int]) -> Histogram:
    """Values in at most MAX_COLUMNS columns of an equal, round width.

    `columns` are [least, most, amount], those between the first and the last too; none without values.
    """
    if not found:
        return {"title": title, "unit": unit, "columns": [], "highest": 0}
    width = _round_width(max(found) - min(found) + 1)
    amounts: Counter[int] = Counter()
    for value, amount in found.items():
        amounts[value // width] += amount
    places = range(min(amounts), max(amounts) + 1)
    columns = [[place * width, (place + 1) * width - 1, amounts[place]] for place in places]
    return {"title": title, "unit": unit, "columns": columns, "highest": max(amounts.values())}


def _percents(title: str, found: Mapping[int, int]) -> Histogram:
    """Whole percents in 20 columns, whatever is in them; 100 stands in the last."""
    amounts = [sum(found.get(value, 0) for value in range(least, least + 5)) for least in range(0, 100, 5)]
    amounts[-1] += found.get(100, 0)
    columns = [[5 * i, 5 * i + 5, amount] for i, amount in enumerate(amounts)] if found else []
    return {"title": title, "unit": "%", "columns": columns, "highest": max(amounts)}


def pack_histograms(bars: Iterable[Sequence[Any]]) -> tuple[Histogram, Histogram]:
    """Fill, and the visual share of what is filled, of each pack in percent; full packs count as 100."""
    fill: Counter[int] = Counter()
    share: Counter[int] = Counter()
    for *_, text, visual, markers, padding in bars:
        used = text + visual + markers
        fill[100 * used // (used + padding)] += 1
        share[100 * visual // used if used else 0] += 1
    return _percents("Fill of a pack", fill), _percents("Visual share of a pack", share)


def rejects(output: Output, facts: Facts) -> list[dict[str, Any]]:
    """Each reason with its level, its amount and the first rows that have it.

    Those of samples stand first, the most frequent before others; what went with its sample stands last.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in facts.reasons}
    for table in _tables(output) if found else ():
        for (level, reason), rows in found.items():
            wanted = MAX_EXAMPLES - len(rows)
            if wanted > 0:
                is_one = pc.and_(pc.equal(table["level"], level), pc.equal(table["reason"], reason))
                rows.extend(table.filter(is_one).slice(0, wanted).to_pylist())
    order = sorted(found, key=lambda key: (key[1] == Reason.SAMPLE_REJECTED, key[0], -facts.reasons[key], key[1]))
    return [{"level": key[0], "reason": key[1], "amount": facts.reasons[key], "examples": found[key]} for key in order]


def _tables(output: Output) -> Iterable[pa.Table]:
    for unit in output.units:
        for path in output.files(unit)["rejects"]:
            yield from output.tables(path, EXAMPLE_COLUMNS)


def _round_width(extent: int) -> int:
    """The least of 1, 2, 5, 10, 20 … that makes at most MAX_COLUMNS columns."""
    power = 1
    while True:
        for step in STEPS:
            # One column fewer: values may begin in the middle of one.
            if extent <= step * power * (MAX_COLUMNS - 1):
                return step * power
        power *= 10

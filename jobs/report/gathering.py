"""Everything that the page shows of an output, as plain values; read with what `inspect` and `stats` read with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from jobs.inspect.output import Output
from jobs.inspect.packs import first_packs, overview
from jobs.report.bars import bar
from jobs.report.details import details
from jobs.report.figures import Histogram, histogram, pack_histograms, rejects
from jobs.report.times import in_order, times
from jobs.stats.facts import total
from jobs.stats.gather import gather
from jobs.stats.tables import describe
from jobs.terminal import printable
from pipeline.operator import Row
from pipeline.records import read_runs

MAX_BARS = 20_000
"""Packs that are drawn, at 300 bytes each; histograms of packs are of these."""
MAX_RUNS = 20
"""The newest ones."""


def collect(output: Output, num_whole: int) -> dict[str, Any]:
    """What `page` asks: figures, tables, a bar for each pack, and the first `num_whole` packs whole.

    `runs` and `operators`, those that worked in them, alone depend on more than the version. In memory: the bars, and
    the packs that are shown whole.
    """
    lengths: Counter[int] = Counter()
    bars = [bar(number, row) for number, row in enumerate(_counted(first_packs(output, MAX_BARS), lengths))]
    whole, text_missing = details(output, num_whole)
    facts = total(gather(output).values())
    fill, share = pack_histograms(bars)
    histograms: list[Histogram] = [
        histogram("Length of a document", "tokens", lengths),
        histogram("Visual tokens of an image", "tokens", facts.tokens_per_image),
        fill,
        share,
    ]
    runs = [_run(record) for record in islice(read_runs(output.url), MAX_RUNS)]
    return {
        **{name: value for name, value in overview(output).items() if name != "output"},
        "recipe": output.recipe,
        "recipe_id": output.version["recipe_id"],
        "bars": bars,
        "whole": whole,
        "text_missing": printable(text_missing),
        "statistics": describe(facts),
        "histograms": histograms,
        "rejects": rejects(output, facts),
        "inputs": _inputs(output),
        "runs": runs,
        "operators": in_order({part["name"] for run in runs for part in run["times"]}),
    }


def _counted(rows: Iterable[Row], lengths: Counter[int]) -> Iterable[Row]:
    """The rows as they come; the lengths of their documents are counted, those of parts together."""
    parts: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        for sample in row["samples"]:
            if sample["num_parts"] == 1:
                lengths[sample["length"]] += 1
                continue
            found = parts.setdefault((sample["id"]["shard"], sample["id"]["ordinal"], sample["copy"]), [])
            found.append(sample["length"])
            if len(found) == sample["num_parts"]:
                lengths[sum(found)] += 1
        yield row


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table of runs; `seconds` is null of one that never ended."""
    outcome = record.get("outcome") or {}
    traffic = (outcome.get("traffic") or {}).values()
    return {
        "started": record.get("started", ""),
        "job": record.get("job", {}).get("name", ""),
        "host": record.get("host", ""),
        "seconds": outcome.get("seconds"),
        "times": times(outcome.get("operators") or {}),
        "units": len(outcome.get("built", ())),
        **{name: sum(unit.get(name, 0) for unit in traffic) for name in ("bytes", "requests", "retries")},
        "outcome": outcome.get("failure", "done") if outcome else "never ended",
    }


def _inputs(output: Output) -> list[Mapping[str, Any]]:
    """The shards of all units, in their order, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    for unit in output.units:
        for entry in output.manifest(unit)["inputs"]:
            found.setdefault(entry["shard"], entry)
    return [found[name] for name in sorted(found)]

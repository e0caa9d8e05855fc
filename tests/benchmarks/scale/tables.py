"""The figures of each part as text, with what is asked beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

MOST_SHARE = 0.02
"""Of a build's CPU seconds, for planner and packer."""
MOST_GROWTH = 1.2
"""What a unit may cost in the last tenth, times that in the first: CPU seconds of one run differ by a tenth."""


def driver(runs: Sequence[Mapping[str, Any]]) -> str:
    """A column a size: steps, commits, memory and bytes."""
    rows: dict[str, list[str]] = {"samples": [f"{run['samples']:,}" for run in runs]}
    rows["units"] = [f"{run['units']:,}" for run in runs]
    rows["data files"] = [f"{run['data_files']:,}" for run in runs]
    for name in runs[0]["cpu_seconds"]:
        rows[f"{name}, s"] = [f"{run['cpu_seconds'][name]:.2f}" for run in runs]
    for title, index in (("first", 0), ("last", -1)):
        rows[f"commit, ms a shard, {title} tenth"] = [
            f"{1e3 * run['commit'][index]['cpu_seconds_a_shard']:.2f}" for run in runs
        ]
    rows["commit, all, s"] = [f"{commit_seconds(run):.1f}" for run in runs]
    for name in runs[0]["memory_mib"]:
        rows[f"memory, MiB, {name.replace('_', ' ')}"] = [f"{run['memory_mib'][name]:.0f}" for run in runs]
    for name in runs[0]["bytes"]:
        rows[f"{name}, MB"] = [f"{run['bytes'][name] / 1e6:.2f}" for run in runs]
    lines = [_line("driver: shards", [f"{run['shards']:,}" for run in runs])]
    lines += [_line("  " + name, values) for name, values in rows.items()]
    lines += [_growth(f"{run['shards']:,} shards, commit of a shard", growth_of_commits(run)) for run in runs]
    return "\n".join(lines)


def commit_seconds(run: Mapping[str, Any]) -> float:
    """CPU seconds of all commits of a run."""
    starts = [step["units_before"] for step in run["commit"]] + [run["units"]]
    counts = [after - before for before, after in pairwise(starts)]
    return float(sum(n * step["cpu_seconds_a_unit"] for n, step in zip(counts, run["commit"], strict=True)))


def growth_of_commits(run: Mapping[str, Any]) -> float:
    """What the last tenth of the shards cost, times the first."""
    return float(run["commit"][-1]["cpu_seconds_a_shard"] / run["commit"][0]["cpu_seconds_a_shard"])


def packer(runs: Sequence[Mapping[str, Any]]) -> str:
    """A line a size of units."""
    titles = (
        "samples a unit",
        "units",
        "us a sample",
        "first tenth",
        "last tenth",
        "MiB before",
        "peak MiB",
        "task MiB",
    )
    lines = [_line("packer: shards a unit", titles)]
    growths = []
    for run in runs:
        size, units = run["shards_a_unit"] * run["samples_a_shard"], run["units"]
        first, last = tenths(run)
        whole = sum(unit["cpu_seconds"] for unit in units) / len(units)
        costs = [f"{1e6 * seconds / size:.1f}" for seconds in (whole, first, last)]
        memory = [f"{run['mib_before']:.0f}", f"{run['peak_mib']:.0f}"]
        lines.append(_line(f"  {run['shards_a_unit']}", [f"{size:,}", f"{len(units)}", *costs, *memory]))
        growths.append(_growth(f"units of {size:,} samples", last / first))
    return "\n".join(lines + growths)


def tenths(run: Mapping[str, Any]) -> tuple[float, float]:
    """CPU seconds of a unit in the first and in the last tenth of the units, or the first and the last of few."""
    units = run["units"]
    size = -(-len(units) // 10)
    first, last = (sum(unit["cpu_seconds"] for unit in part) / size for part in (units[:size], units[-size:]))
    return first, last


def share(modes: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a mode: microseconds a sample of each step, and the share of planner and packer."""
    steps = sorted({name for run in modes.values() for name in run["cpu_seconds"]})
    lines = [_line("share: us a sample", [*steps, "all"])]
    for name, run in modes.items():
        costs = run["cpu_microseconds_a_sample"]
        lines.append(
            _line("  " + name, [f"{costs.get(step, 0):,.0f}" for step in steps] + [f"{sum(costs.values()):,.0f}"])
        )
    for name, run in modes.items():
        kilobytes = [
            f"{run[field] / run['samples'] / 1e3:.1f} KB {way}"
            for field, way in (("bytes_in", "in"), ("bytes_out", "out"))
        ]
        lines.append(f"  {name}, a sample: {', '.join(kilobytes)}")
    for name, run in modes.items():
        verdict = "met" if run["share"] <= MOST_SHARE else "MISSED"
        lines.append(f"  planner and packer, {name}: {run['share']:.2%}   goal {MOST_SHARE:.0%} at most   {verdict}")
    return "\n".join(lines)


def _growth(what: str, ratio: float) -> str:
    verdict = "met" if ratio <= MOST_GROWTH else "MISSED"
    return f"  {what}, last tenth by first: {ratio:.2f}   goal {MOST_GROWTH:.2f} at most   {verdict}"


def _line(title: str, values: Sequence[str]) -> str:
    return f"{title:44}" + "".join(f"{value:>15}" for value in values)

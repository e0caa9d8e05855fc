"""The figures of each part as text, with what is asked beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any

MOST_SHARE = 0.02
"""Of a build's CPU seconds, for planner and packer."""
REACH = 1_000_000
"""Shards of 1 GB of a petabyte."""
MOST_GROWTH = 1.2
"""What a unit may cost in the second half of a run, times that in the first, by medians: of equal units in one process
beside others, one takes up to 1.7 times the CPU seconds of another, and so does a tenth of a run."""


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
    lines += [_growth(f"{run['shards']:,} shards, commit of a shard", costs_of_commits(run)) for run in runs]
    return "\n".join([*lines, _reckoned(runs[-1])])


def commit_seconds(run: Mapping[str, Any]) -> float:
    """CPU seconds of all commits of a run."""
    starts = [step["units_before"] for step in run["commit"]] + [run["units"]]
    counts = [after - before for before, after in pairwise(starts)]
    return float(sum(n * step["cpu_seconds_a_unit"] for n, step in zip(counts, run["commit"], strict=True)))


def costs_of_commits(run: Mapping[str, Any]) -> list[float]:
    """CPU seconds of a shard, tenth by tenth."""
    return [step["cpu_seconds_a_shard"] for step in run["commit"]]


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
    )
    lines = [_line("packer: shards a unit", titles)]
    growths = []
    for run in runs:
        size, units = run["shards_a_unit"] * run["samples_a_shard"], run["units"]
        first, last = tenths([unit["cpu_seconds"] for unit in units])
        whole = sum(unit["cpu_seconds"] for unit in units) / len(units)
        costs = [f"{1e6 * seconds / size:.1f}" for seconds in (whole, first, last)]
        memory = [f"{run['mib_before']:.0f}", f"{run['peak_mib']:.0f}"]
        lines.append(_line(f"  {run['shards_a_unit']}", [f"{size:,}", f"{len(units)}", *costs, *memory]))
        growths.append(_growth(f"units of {size:,} samples", [unit["cpu_seconds"] for unit in units]))
    return "\n".join(lines + growths)


def tenths(costs: Sequence[float]) -> tuple[float, float]:
    """Mean of the first and of the last tenth, or the first and the last of few."""
    size = -(-len(costs) // 10)
    return mean(costs[:size]), mean(costs[-size:])


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


def _reckoned(run: Mapping[str, Any]) -> str:
    """What as many shards as REACH would take, in proportion to a run."""
    times = REACH / run["shards"]
    seconds = {**run["cpu_seconds"], "commit": commit_seconds(run)}
    start, *peaks = run["memory_mib"].values()
    parts = [
        *(f"{name} {value * times:,.0f} s" for name, value in seconds.items()),
        *(f"memory {(start + (peak - start) * times) / 1024:,.1f} GiB" for peak in peaks),
        *(f"{name} {value * times / 1e6:,.0f} MB" for name, value in run["bytes"].items()),
    ]
    return f"  {REACH:,} shards would take, in proportion: {'; '.join(parts)}"


def _growth(what: str, costs: Sequence[float]) -> str:
    half = max(1, len(costs) // 2)
    ratio = median(costs[-half:]) / median(costs[:half])
    first, last = tenths(costs)
    verdict = "met" if ratio <= MOST_GROWTH else "MISSED"
    return (
        f"  {what}: last tenth by first {last / first:.2f}; second half by first, medians: {ratio:.2f}"
        f"   goal {MOST_GROWTH:.2f} at most   {verdict}"
    )


def _line(title: str, values: Sequence[str]) -> str:
    return f"{title:44}" + "".join(f"{value:>15}" for value in values)

"""Medians of runs, their ratios, and the goals beside them, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.end_to_end.rates import goal_against_usual

RATES = {"images_per_second": "images/s", "tokens_per_second": "tokens/s", "mb_per_second": "MB/s"}
SECONDS = {
    "seconds_to_first_unit": "first, s",
    "wall_seconds": "all, s",
    "cpu_seconds": "CPU, s",
    "cpu_ms_per_image": "CPU ms/image",
}
MEMORY = {"peak_mb": "peak, MB", "largest_process_mb": "largest, MB", "object_store_mb": "store, MB"}
COLUMNS = RATES | SECONDS | MEMORY
AGAINST_BARE = {"ray": 0.85, "local": 0.95}
MOST_PLANNING = 0.02
"""Share of build time that planner and packer may take together."""

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Figures of each run by contender."""


def medians(runs: Runs) -> dict[str, dict[str, float]]:
    """Of each figure that a table shows, by contender."""
    return {
        name: {column: median(run[column] for run in own) for column in COLUMNS} for name, own in runs.items() if own
    }


def ratios(runs: Runs, against_usual: float | None) -> list[dict[str, Any]]:
    """Medians over rounds of ratios of images a second, with the goal of each where there is one.

    A machine that others share drifts by a third in the time of some rounds, less within one.
    """
    found: list[dict[str, Any]] = []

    def add(one: str, other: str, goal: float | None) -> float:
        value = _ratio(runs, one, other)
        if value is not None:
            entry = {"ratio": f"{one}/{other}", "value": round(value, 3), "goal": goal and round(goal, 3)}
            found.append(entry if goal is None else entry | {"is_met": value >= goal})
        return value or 0.0

    for name, goal in AGAINST_BARE.items():
        add(name, "bare", goal)
    bare = add("bare", "usual", None)
    for name in AGAINST_BARE:
        goal = goal_against_usual(against_usual, bare) if against_usual and bare else against_usual
        add(name, "usual", goal)
    return found


def _ratio(runs: Runs, one: str, other: str) -> float | None:
    """Median of each round's; None where no round has both."""
    over, under = ({run["round"]: run["images_per_second"] for run in runs.get(name, ())} for name in (one, other))
    found = [over[number] / under[number] for number in over.keys() & under.keys()]
    return float(median(found)) if found else None


def planning(runs: Runs) -> dict[str, float]:
    """Median share of slicing and packing in the seconds of all operators, by contender."""
    return {
        name: round(median(run["planner_share"] + run["packer_share"] for run in own), 4)
        for name, own in runs.items()
        if own and "planner_share" in own[0]
    }


def table(mode: str, figures: Mapping[str, Any]) -> str:
    """One mode as text: figures by contender, then ratios and goals."""
    lines = [f"{mode}: {figures['input']}", f"{'':8}" + "".join(f"{title:>13}" for title in COLUMNS.values())]
    for name, row in figures["medians"].items():
        lines.append(f"{name:8}" + "".join(f"{row[column]:13,.1f}" for column in COLUMNS))
    for entry in figures["ratios"]:
        goal = (
            "" if entry["goal"] is None else f"   goal {entry['goal']:.2f}   {'met' if entry['is_met'] else 'MISSED'}"
        )
        lines.append(f"  {entry['ratio']:12} {entry['value']:7.2f}{goal}")
    for name, share in figures["planning"].items():
        verdict = "met" if share <= MOST_PLANNING else "MISSED"
        lines.append(f"  planner and packer, {name}: {share:.2%}   goal {MOST_PLANNING:.0%} at most   {verdict}")
    return "\n".join(lines)

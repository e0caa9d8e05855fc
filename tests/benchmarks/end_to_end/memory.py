"""Peak memory of a build as its input grows tenfold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.end_to_end.contenders import LOCAL, RAY, Task, observe
from tests.benchmarks.end_to_end.modes import MODES, write_job

TIMES = 10
PICTURES = 60
"""In a shard."""
NUM_SHARDS = 4
"""At 1x."""
MOST = 1.1
"""Times the peak of the small input."""
FIGURES = ("peak_mb", "largest_process_mb", "object_store_mb")


def peaks(folder: Path, shards: list[Path]) -> dict[str, Any]:
    """Of mode `encoded` on all shards and on a tenth of them: peaks in MB and their ratios, by contender."""
    mode = next(mode for mode in MODES if mode.name == "encoded")
    few = shards[: len(shards) // TIMES]
    found: dict[str, Any] = {}
    for contender in (LOCAL, RAY):
        runs = []
        for number, chosen in enumerate((few, shards)):
            job, output = (folder / f"{contender.name}-{number}{ending}" for ending in (".yaml", ""))
            write_job(mode, job, chosen, output)
            runs.append(observe(contender, Task(job, chosen, output))[1])
        found[contender.name] = {
            "runs": runs,
            "ratios": {name: round(runs[1][name] / runs[0][name], 3) for name in FIGURES if runs[0][name]},
        }
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """As text, with the goal."""
    shown = []
    for name, own in found.items():
        for figure, ratio in own["ratios"].items():
            one, ten = (run[figure] for run in own["runs"])
            verdict = "met" if ratio <= MOST else "MISSED"
            shown.append(
                f"memory, {name}: {figure} {one:.0f} at 1x, {ten:.0f} at {TIMES}x: {ratio:.2f}"
                f"   goal {MOST:.2f} at most   {verdict}"
            )
    return shown

"""Seconds from the command to the first committed unit of the quickstart, and those that imports alone take."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.end_to_end.contenders import ENVIRONMENT
from tests.benchmarks.end_to_end.watching import watch
from tests.support import QUICKSTART, ROOT

GOALS = {"ray": 15.0, "local": 5.0}
"""Seconds; those of imports come on top of the local one."""
MODULES = ("jobs.cli", "jobs.build", "jobs.chain", "jobs.progress", "jobs.report.command")
OWN_MODULES = {"ray": ("pipeline.ray_runner",), "local": ("operators.score",)}
"""What each way imports beside these in the process of the command; `score` is imported by actors on Ray."""


def first_units(folder: Path, runs: int) -> dict[str, Any]:
    """Of the quickstart on Ray and in one process, medians in seconds."""
    found: dict[str, dict[str, list[float]]] = {name: {"first_unit": [], "all": [], "imports": []} for name in GOALS}
    for number in range(runs):
        for name, own in found.items():
            output = folder / f"{name}-{number}"
            options = ["--local"] if name == "local" else []
            command = [
                sys.executable,
                "-m",
                "jobs",
                "run",
                str(QUICKSTART),
                "--output",
                str(output),
                "--json",
                *options,
            ]
            watched = watch(command, ROOT, ENVIRONMENT)
            if watched.returncode:
                raise SystemExit(f"{' '.join(command)}: {watched.stderr[-4000:]}")
            committed = min(path.stat().st_mtime for path in (output / "manifests").iterdir())
            own["first_unit"].append(committed - watched.began)
            own["all"].append(watched.wall_seconds)
            own["imports"].append(_import_seconds(MODULES + OWN_MODULES[name]))
    return {name: {what: round(median(values), 2) for what, values in own.items()} for name, own in found.items()}


def _import_seconds(modules: tuple[str, ...]) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], cwd=ROOT, check=True)
    return time.monotonic() - started


def lines(found: dict[str, Any]) -> list[str]:
    """As text, with the goals."""
    shown = []
    for name, row in found.items():
        goal = GOALS[name] + (row["imports"] if name == "local" else 0.0)
        verdict = "met" if row["first_unit"] <= goal else "MISSED"
        shown.append(
            f"quickstart, {name}: first unit after {row['first_unit']:.1f} s (imports alone {row['imports']:.1f} s, "
            f"all {row['all']:.1f} s)   goal {goal:.1f} s   {verdict}"
        )
    return shown

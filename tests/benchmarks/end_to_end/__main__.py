r"""Whole builds against a loop without framework, and against the usual loop: one command, ratios and goals.

    python -m tests.benchmarks.end_to_end --json infra/bench/end_to_end.json
    python -m tests.benchmarks.end_to_end --quick --only encoded

lodepack on Ray (`ray`) and with --local (`local`), the same kernels in a bare loop with as many processes as cores
(`bare`), and webdataset, transformers' image processor, tokenizer and greedy packing with as many (`usual`). All of
them read the same shards: generated photographs, and the real ones of ../shared/data where they are at hand. Rounds go
through all contenders, so that a slow moment of the machine meets each. `--first` measures the quickstart's first unit
and `--memory` peak memory as the input grows tenfold, beside the modes or, with `--only none`, alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks.end_to_end import first, memory
from tests.benchmarks.end_to_end.contenders import (
    BARE,
    CONTENDERS,
    CORES,
    LOCAL,
    RAY,
    USUAL,
    Contender,
    Task,
    measure,
    observe,
)
from tests.benchmarks.end_to_end.machine import describe
from tests.benchmarks.end_to_end.modes import MODES, QUICK_PICTURES, USUAL_PICTURES, Mode, is_built, write_job
from tests.benchmarks.end_to_end.photographs import REAL, Photographs, make_photographs
from tests.benchmarks.end_to_end.report import COLUMNS, medians, planning, ratios, table
from tests.support import ROOT

PARTS = 4
"""A short run has one shard a core, a long one so many times as many."""


class Shards:
    """Writes shards when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._photographs: Photographs | None = None
        self._written: dict[tuple[int, int], list[Path]] = {}

    def of(self, count: int, pictures: int) -> list[Path]:
        """`count` shards of so many pictures each."""
        if (count, pictures) not in self._written:
            archive = ROOT.parent / "shared" / REAL
            real = archive if archive.exists() else None
            self._photographs = self._photographs or make_photographs(processes=CORES, real=real)
            paths = [self._folder / f"{count}x{pictures}" / f"photos-{number:06d}.tar" for number in range(count)]
            for number, path in enumerate(paths):
                self._photographs.write_shard(path, pictures, number)
            self._written[count, pictures] = paths
        return self._written[count, pictures]


def main() -> None:
    """Prints the tables, writes the JSON."""
    options = _options()
    began = time.monotonic()
    result: dict[str, Any] = {"machine": describe(), "quick": options.quick, "rounds": options.runs}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        shards = Shards(folder / "shards")
        result["modes"] = _modes(options, folder, shards)
        if options.first:
            result["first"] = first.first_units(_made(folder / "first"), options.runs)
            print("\n".join(first.lines(result["first"])) + "\n", flush=True)
        if options.memory:
            many = shards.of(memory.NUM_SHARDS * memory.TIMES, memory.PICTURES)
            result["memory"] = memory.peaks(_made(folder / "memory"), many)
            print("\n".join(memory.lines(result["memory"])) + "\n", flush=True)
    result["seconds"] = round(time.monotonic() - began)
    print(f"{result['seconds']} s in all; the machine: {json.dumps(result['machine'])}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def _modes(options: argparse.Namespace, folder: Path, shards: Shards) -> dict[str, Any]:
    """Rounds of all contenders in all modes; the usual loop, whose work is the same in each, once a round."""
    asked = [mode for mode in MODES if not options.only or mode.name in options.only]
    modes = [mode for mode in asked if is_built(mode)]
    for mode in asked:
        if mode not in modes:
            print(f"{mode.name}: not built yet", flush=True)
    most = QUICK_PICTURES if options.quick else max(mode.pictures for mode in MODES)
    contenders = [one for one in (RAY, LOCAL, BARE) if one.name not in options.skip]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {mode.name: defaultdict(list) for mode in modes}
    usual: list[dict[str, Any]] = []
    for one in (USUAL, *contenders) if modes else ():
        if one.name not in options.skip:
            _warm(one, modes[0], shards.of(CORES, QUICK_PICTURES), folder)
    for number in range(options.runs if modes else 0):
        if USUAL.name not in options.skip:
            usual += _measured(USUAL, modes[0], shards.of(PARTS * CORES, min(USUAL_PICTURES, most)), folder, number)
        for mode in modes:
            paths = shards.of(PARTS * CORES, min(mode.pictures, most))
            for one in contenders:
                found[mode.name][one.name] += _measured(one, mode, paths, folder, number)
    result = {}
    for mode in modes:
        runs = found[mode.name] | ({USUAL.name: usual} if usual else {})
        result[mode.name] = {
            "input": f"{PARTS * CORES} shards of {min(mode.pictures, most)}",
            "medians": medians(runs),
            "ratios": ratios(runs, mode.against_usual),
            "planning": planning(runs),
            "runs": runs,
        }
        print("\n" + table(mode.name, result[mode.name]) + "\n", flush=True)
    return result


def _warm(one: Contender, mode: Mode, paths: list[Path], folder: Path) -> None:
    """A run that does not count: the first one reads its libraries from the disk, 6 s for the usual loop."""
    write_job(mode, folder / "warm.yaml", paths, folder / "out")
    observe(one, Task(folder / "warm.yaml", paths, folder / "out"))


def _measured(one: Contender, mode: Mode, paths: list[Path], folder: Path, number: int) -> list[dict[str, Any]]:
    """One contender once; nothing where the machine was so busy that no rate follows."""
    output = folder / "out"
    tasks = []
    for name, chosen in (("few", paths[:CORES]), ("many", paths)):
        tasks.append(Task(folder / f"{name}.yaml", chosen, output))
        write_job(mode, tasks[-1].job, chosen, output)
    called = one.name if one is USUAL else f"{mode.name}, {one.name}"
    try:
        run = measure(one, *tasks)
    except ValueError as error:
        print(f"  round {number + 1}, {called}: {error}", flush=True)
        return []
    shown = ", ".join(f"{title} {run[column]:,.1f}" for column, title in COLUMNS.items())
    print(f"  round {number + 1}, {called}: {shown}", flush=True)
    return [{"round": number + 1} | run]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [mode.name for mode in MODES]
    parser.add_argument("--quick", action="store_true", help="few pictures, one round: whether it runs, not how fast")
    parser.add_argument("--runs", type=int, help="rounds; 5, or 1 with --quick")
    parser.add_argument("--only", action="append", choices=[*names, "none"], help="these modes alone")
    parser.add_argument("--skip", action="append", default=[], choices=[one.name for one in CONTENDERS])
    parser.add_argument("--first", action="store_true", help="seconds to the quickstart's first unit too")
    parser.add_argument("--memory", action="store_true", help="peak memory at ten times the input too")
    parser.add_argument("--folder", type=Path, help="shards and outputs, some gigabytes, lie below this folder")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    return options


if __name__ == "__main__":
    main()

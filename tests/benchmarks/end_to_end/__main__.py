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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.end_to_end import first, memory
from tests.benchmarks.end_to_end.contenders import CONTENDERS, CORES, USUAL, Contender, Task, measure
from tests.benchmarks.end_to_end.machine import describe
from tests.benchmarks.end_to_end.modes import MODES, QUICK, Mode, Size, write_job
from tests.benchmarks.end_to_end.modes import USUAL as USUAL_SIZE
from tests.benchmarks.end_to_end.photographs import REAL, Photographs, make_photographs, real_pairs, write_pairs
from tests.benchmarks.end_to_end.report import COLUMNS, medians, planning, ratios, table
from tests.support import ROOT

EVERY_REAL = 6
"""One of so many shards is of real photographs."""


class Shards:
    """Writes the shards of a size when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._photographs: Photographs | None = None
        self._written: dict[Size, list[Path]] = {}

    def of(self, size: Size) -> list[Path]:
        if size not in self._written:
            self._photographs = self._photographs or make_photographs(processes=CORES)
            archive = ROOT.parent / "shared" / REAL
            real = real_pairs(archive) if archive.exists() else []
            folder = self._folder / f"shards-{size.shards}-{size.pictures}"
            paths = [folder / f"photos-{number:06d}.tar" for number in range(size.shards)]
            for number, path in enumerate(paths):
                if real and number % EVERY_REAL == EVERY_REAL - 1:
                    first = number * size.pictures
                    write_pairs(path, [(f"{i:08d}", *real[(first + i) % len(real)][1:]) for i in range(size.pictures)])
                else:
                    self._photographs.write_shard(path, size.pictures, number)
            self._written[size] = paths
        return self._written[size]


def main() -> None:
    """Prints the tables, writes the JSON."""
    options = _options()
    began = time.monotonic()
    chosen = [mode for mode in MODES if not options.only or mode.name in options.only]
    contenders = [one for one in CONTENDERS if one.name not in options.skip]
    result: dict[str, Any] = {"machine": describe(), "quick": options.quick, "runs": options.runs, "modes": {}}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        shards = Shards(folder)
        for mode in chosen:
            figures = measure_mode(mode, folder, shards, contenders, runs=options.runs, quick=options.quick)
            if figures is None:
                print(f"{mode.name}: not built yet\n", flush=True)
                continue
            result["modes"][mode.name] = figures
            print(table(mode.name, figures) + "\n", flush=True)
        if options.first:
            result["first"] = first.first_units(_made(folder / "first"), options.runs)
            print("\n".join(first.lines(result["first"])) + "\n", flush=True)
        if options.memory:
            many = shards.of(Size(QUICK.shards * memory.TIMES, QUICK.pictures))
            result["memory"] = memory.peaks(_made(folder / "memory"), many)
            print("\n".join(memory.lines(result["memory"])) + "\n", flush=True)
    result["seconds"] = round(time.monotonic() - began)
    print(f"{result['seconds']} s in all; the machine: {json.dumps(result['machine'])}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def measure_mode(
    mode: Mode, folder: Path, shards: Shards, contenders: Sequence[Contender], *, runs: int, quick: bool
) -> dict[str, Any] | None:
    """Rounds of all contenders; None where this version cannot do the mode."""
    size = Size(QUICK.shards, min(QUICK.pictures, mode.size.pictures)) if quick else mode.size
    usual_size = QUICK if quick else USUAL_SIZE
    if write_job(mode, folder, "*.tar", folder / "out") is None:
        return None
    paths = shards.of(size)
    job = write_job(mode, folder, f"{paths[0].parent}/photos-*.tar", folder / "out")
    assert job is not None
    found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contenders}
    for number in range(runs):
        for one in contenders:
            given = shards.of(usual_size) if one is USUAL else paths
            found[one.name].append(measure(one, Task(job, given, folder / "out")))
            run = found[one.name][-1]
            print(f"  {mode.name}, round {number + 1}, {one.name}: " + ", ".join(f"{title} {run[column]:,.1f}" for column, title in COLUMNS.items()), flush=True)  # fmt: skip # noqa: E501
    return {
        "input": f"{size.shards} shards of {size.pictures}; usual {usual_size.shards} of {usual_size.pictures}",
        "medians": medians(found),
        "ratios": ratios(found, mode.against_usual),
        "planning": planning(found),
        "runs": found,
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [mode.name for mode in MODES]
    parser.add_argument("--quick", action="store_true", help="a few hundred pictures, one round: does it run?")
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

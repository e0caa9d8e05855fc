r"""Forecasts a build from two of its shards, builds it, and says how far off every number was.

    python -m tests.benchmarks.forecast '../shared/data/gimp-help/gimp-*.tar' --write infra/bench/forecast.json

Without a pattern it takes the bundled shards. Both run in one process (`--local`), one after the other: a run's CPU
seconds are its own and its children's, wall seconds those of the whole command less what Python takes to start. Exit 1
if a number lies outside its interval, or tokens, fill or bytes are more than GOAL off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import QUICKSTART, ROOT

GOAL = 0.15
WITHIN_GOAL = ("tokens", "fill", "output_bytes")
SETTINGS = {
    "no scores, no budget": ("score=null", "budget=none"),
    "the job as it is": (),
}
BUNDLED = f"{ROOT}/jobs/samples/gimp-sample-{{000000..000001}}.tar"

Figures = dict[str, Any]


def lodepack(*arguments: object) -> tuple[Figures, float]:
    """What a command prints as JSON, and the CPU seconds of it and of its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "jobs", *map(str, arguments), "--json"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(text), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def made(output: Path, summary: Figures, cpu_seconds: float) -> dict[str, float]:
    """The numbers of a build that a forecast names."""
    totals = summary["totals"]
    tokens, samples = totals["tokens"], totals["samples"]
    manifests = [json.loads(path.read_text()) for path in (output / "manifests").glob("*.json")]
    return {
        "samples": samples["read"],
        "packed": samples["packed"],
        "rejected": samples["rejected"],
        "tokens": tokens["tokens"],
        "text_tokens": tokens["text"],
        "visual_tokens": tokens["visual"],
        "sequences": tokens["packs"],
        "fill": tokens["tokens"] / (tokens["tokens"] + tokens["padding"] + tokens["alignment"]),
        "output_bytes": sum(file["bytes"] for manifest in manifests for file in manifest["files"]),
        "cpu_hours": cpu_seconds / 3600,
        "wall_seconds": summary["seconds"],
    }


def compare(pattern: str, overrides: tuple[str, ...], shards: int) -> list[Figures]:
    """A row a number: what was forecast, between which two, what it was, and whether it lay there."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        job = [QUICKSTART, f"--input={pattern}", f"--output={output}", "--local"]
        job += [f"--set={one}" for one in (f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *overrides)]
        forecast = lodepack("plan", *job, "--shards", shards)[0]["forecast"]
        real = made(output, *lodepack("run", *job))
    rows: list[Figures] = []
    for name, value in real.items():
        about = forecast[name]
        error = about["value"] / value - 1 if value else 0.0
        rows.append({"number": name, **about, "real": round(value, 4), "error": round(error, 4)})
        rows[-1]["inside"] = about["low"] <= value <= about["high"]
    return rows


def main() -> int:
    """Prints the tables; 1 if a forecast was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", default=BUNDLED)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--only", choices=SETTINGS, help="one of the settings")
    parser.add_argument("--write", type=Path, help="file for the results")
    options = parser.parse_args()
    chosen = [options.only] if options.only else list(SETTINGS)
    found = {name: compare(options.pattern, SETTINGS[name], options.shards) for name in chosen}
    for name, rows in found.items():
        print(f"{name}\n{'':14}{'forecast':>14}{'at least':>14}{'at most':>14}{'real':>14}{'off':>8}")
        for row in rows:
            cells = "".join(f"{row[of]:>14,.10g}" for of in ("value", "low", "high", "real"))
            print(f"{row['number']:14}{cells}{row['error']:>8.1%}{'' if row['inside'] else '  outside'}")
    if options.write:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        result = {"machine": machine, "corpus": Path(options.pattern).name, "shards": options.shards, "settings": found}
        options.write.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    rows = [row for of in found.values() for row in of]
    far = [row for row in rows if row["number"] in WITHIN_GOAL and abs(row["error"]) > GOAL]
    return int(bool(far) or not all(row["inside"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

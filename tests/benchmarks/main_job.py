r"""Builds a corpus in every way that must give the same bytes, verifies it, and prints how full the packs are.

    python -m tests.benchmarks.main_job '../shared/data/gimp-help/gimp-{000000..000007}.tar' \
        --json infra/bench/main_job.json

Without a pattern it takes the bundled shards. Exit 1 if any tree differs or is untrue.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support import QUICKSTART, ROOT, tree


def actors(workers: int, batch_size: int) -> list[str]:
    """Options for exactly so many actors per operator and rows per call."""
    return [
        "--workers",
        str(workers),
        *(f"--set=resources.{name}.batch_size={batch_size}" for name in ("decode", "score")),
    ]


RAY_VARIANTS: dict[str, list[str]] = {
    "Ray, the job as it is": [],
    "Ray, 1 actor per operator, batches of 64": actors(1, 64),
    "Ray, 2 actors per operator, batches of 7": actors(2, 7),
    "Ray, 4 actors per operator, batches of 1": actors(4, 1),
}


def lodepack(*arguments: str) -> dict[str, Any]:
    """Runs one command with --json; what it printed."""
    command = [sys.executable, "-m", "jobs", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))


def copied(pattern: str, folder: Path) -> str:
    """The shards again, with other times."""
    source = Path(pattern)
    folder.mkdir()
    for shard in source.parent.glob(f"{source.name.split('{')[0]}*.tar"):
        shutil.copyfile(shard, folder / shard.name)
        os.utime(folder / shard.name, (1, 1))
    return str(folder / source.name)


def fills(output: Path) -> list[dict[str, Any]]:
    """For each unit its packs, its bound, and the fill of all packs but the emptiest, which takes up the slack."""
    found = []
    for path in sorted((output / "manifests").iterdir()):
        manifest = json.loads(path.read_text())
        length = manifest["recipe"]["job"]["sequence_length"]
        used = [
            sum(sample["length"] for sample in row["samples"])
            for file in manifest["files"]
            if file["kind"] == "data"
            for row in pq.read_table(output / file["path"], columns=["samples"]).to_pylist()
        ]
        full = sorted(used)[1:]
        found.append(
            {
                "unit": manifest["unit"],
                "shards": len(manifest["inputs"]),
                "packs": len(used),
                "bound": manifest["counts"]["packs"]["bound"],
                "fill": round(sum(used) / len(used) / length, 5),
                "fill_without_emptiest": round(sum(full) / len(full) / length, 5) if full else None,
            }
        )
    return found


def measure(pattern: str, work: Path, overrides: list[str]) -> dict[str, Any]:
    """All variants of one corpus beside the local run."""
    common = ["run", str(QUICKSTART), *overrides]
    runs = {
        "local": [*common, "--input", pattern, "--local"],
        "local, shards copied with other times": [*common, "--input", copied(pattern, work / "copy"), "--local"],
    }
    runs |= {name: [*common, "--input", pattern, *extra] for name, extra in RAY_VARIANTS.items()}
    expected: dict[str, str] | None = None
    results: dict[str, Any] = {}
    for number, (name, arguments) in enumerate(runs.items()):
        output = work / f"out-{number}"
        began = time.monotonic()
        summary = lodepack(*arguments, "--output", str(output))
        seconds = time.monotonic() - began
        files = tree(output)
        expected = expected or files
        results[name] = {"seconds": round(seconds, 1), "same_bytes": files == expected, "rounds": summary["rounds"]}
        print(f"{name:45} {seconds:6.1f} s   {'same bytes' if files == expected else 'OTHER BYTES'}", flush=True)
        if number:
            shutil.rmtree(output)
    verified = lodepack("verify", str(work / "out-0"), "--input", pattern)
    return {
        "corpus": Path(pattern).name,
        "totals": summary["totals"],
        "reasons": summary["reasons"],
        "units": fills(work / "out-0"),
        "runs": results,
        "findings": len(verified["findings"]),
    }


def main() -> None:
    """Prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default=str(ROOT / "jobs/samples/gimp-sample-{000000..000001}.tar"))
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measure(options.pattern, Path(work), [f"--set={field}" for field in options.set])
    for unit in found["units"]:
        print(f"unit of {unit['shards']} shards: {unit['packs']} packs, bound {unit['bound']}, fill {unit['fill']:.4f}, without the emptiest {unit['fill_without_emptiest']}")  # fmt: skip # noqa: E501
    full = [(unit["packs"] - 1, unit["fill_without_emptiest"] or 0) for unit in found["units"] if unit["packs"] > 1]
    if full:
        mean = sum(n * fill for n, fill in full) / sum(n for n, _ in full)
        found["fill_without_each_units_emptiest"] = round(mean, 5)
        print(f"all packs but each unit's emptiest: {found['fill_without_each_units_emptiest']}")
    print(f"findings of verify: {found['findings']}")
    found["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if found["findings"] or not all(run["same_bytes"] for run in found["runs"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

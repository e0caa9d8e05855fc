"""Starts two runs of one job at seeded moments, round after round, and looks at what they made together.

python -m tests.benchmarks.reliability.overlap [--quick]

Three kinds of rounds: both run to their end; one is killed; one has a changed recipe and --rebuild. After each the
tree is that of runs that nobody disturbed, with one manifest a unit.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from jobs.verify import verify
from tests.support import QUICKSTART, ROOT, build, tree, write_pairs

ROUNDS = {"both end": 50, "one is killed": 10, "one rebuilds": 10}
SHARDS, PER_SHARD = 6, 4
FIELDS = ("input.format=pairs", "unit.target_shards=1", "sequence_length=1024", "score=null", "budget=none")
CHANGED = "sequence_length=2048"
SPREAD_SECONDS = 1.0
"""The second run starts at most so much after the first; a run takes about two seconds, one of them to start."""
SEED = 20260


def start(output: Path, shards: str, *options: str) -> subprocess.Popen[str]:
    fields = [f"--set={field}" for field in (*FIELDS, f"tokenizer={ROOT}/jobs/samples/tokenizer.model")]
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--input", shards, "--output", str(output)]  # fmt: skip # noqa: E501
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, *fields, *options], cwd=ROOT, text=True, **pipes)


def run_two(output: Path, shards: str, rng: random.Random, kind: str) -> list[tuple[int, str]]:
    """Exit code and last line of each of two runs."""
    runs = [start(output, shards)]
    time.sleep(rng.uniform(0, SPREAD_SECONDS))
    runs.append(start(output, shards, *(("--set", CHANGED, "--rebuild") if kind == "one rebuilds" else ())))
    if kind == "one is killed":
        time.sleep(rng.uniform(0.5, 2.5))
        rng.choice(runs).kill()
    errors = [run.communicate()[1].strip().splitlines() for run in runs]
    return [(run.returncode, error[-1] if error else "") for run, error in zip(runs, errors, strict=True)]


def faults_of(output: Path, ended: list[tuple[int, str]], kind: str, expected: dict[str, dict[str, str]]) -> list[str]:
    """What is wrong after a round."""
    faults: list[str] = []
    seen = tree(output)
    kept = [json.loads(path.read_text()) for path in (output / "manifests").iterdir()]
    shards = Counter((entry["shard"], one["recipe_id"]) for one in kept for entry in one["inputs"])
    if set(shards.values()) != {1}:
        faults.append(f"a shard is in two units: {shards}")
    if kind == "both end":
        faults += [f"exit code {code}: {line}" for code, line in ended if code]
        faults += ["another tree"] if seen != expected["one"] else []
    if kind == "one is killed":
        codes = sorted(code for code, _ in ended)
        faults += [] if codes in ([-9, 0], [0, 0]) else [f"exit codes {codes}"]
        # What the killed one wrote and did not commit lies there under the name of its content.
        faults += ["another tree"] if seen != expected["one"] else []
    if kind == "one rebuilds":
        faults += [f"no one clear line: {line}" for code, line in ended if code and not line.startswith("error: ")]
        files = {path: sha for path, sha in seen.items() if not path.startswith("versions/")}
        if not files.items() <= expected["both"].items() or ended[1][0]:
            faults.append("another tree, or the rebuild failed")
    report = verify(str(output))
    return faults + [f"{finding.where}: {finding.what}" for finding in report.findings]


def measure(*, quick: bool) -> dict[str, Any]:
    """Rounds of each kind, and what was wrong after any of them."""
    rng = random.Random(SEED)
    faults: list[str] = []
    refused = at_once = 0
    rounds = {kind: 3 if quick and kind == "both end" else 1 if quick else count for kind, count in ROUNDS.items()}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shards = write_pairs(Path(folder) / "in", SHARDS, PER_SHARD)
        units = build(Path(folder) / "one", shards, *FIELDS)["units"]["built"]
        build(Path(folder) / "both", shards, *FIELDS)
        build(Path(folder) / "both", shards, *FIELDS, CHANGED, rebuild=True)
        expected = {name: tree(Path(folder) / name) for name in ("one", "both")}
        for kind, count in rounds.items():
            for number in range(count):
                output = Path(folder) / f"{kind}-{number}"
                ended = run_two(output, shards, rng, kind)
                refused += sum(code == 2 for code, _ in ended)
                at_once += len(list((output / "runs").glob("*.json"))) == 2
                faults += [f"{kind}, round {number}: {fault}" for fault in faults_of(output, ended, kind, expected)]
    return {
        "rounds": rounds,
        "rounds_in_which_both_had_work": at_once,
        "units_per_round": units,
        "faults": faults,
        "runs_refused_in_one_line": refused,
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    found = measure(quick="--quick" in sys.argv)
    print(json.dumps(found, indent=1))
    sys.exit(bool(found["faults"]))

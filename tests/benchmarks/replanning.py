r"""Times re-planning from an index beside scoring, and a re-planned run beside a fresh build of the same settings.

    python -m tests.benchmarks.replanning '../shared/data/gimp-help/gimp-{000000..000007}.tar' \
        --json infra/bench/replanning.json

Without a pattern it takes the bundled shards. Scoring is the operator `score` alone, on one thread; re-planning is all
from the index to the tasks that `write` gets, in the same process. Both are CPU seconds, which other work on the
machine does not add to; runs are wall seconds. Exit 1 if a re-planned output differs from a fresh one, or if
re-planning takes more than GOAL of scoring.
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

from jobs.chain import Resolved, build_chain, resolve_job
from jobs.replanning import may_replan, replan_chain
from jobs.spec import load_job
from pipeline.chain import Chain
from pipeline.planning import make_plan
from pipeline.types import Unit
from tests.support import QUICKSTART, ROOT, tree

GOAL = 0.05
REPEATS = 3
CHANGES = {
    "fewer tokens at most": "budget.max_tokens=256",
    "lower thresholds": "budget.thresholds=[0.2, 0.4, 0.6]",
    "a total for each image": "budget={rule: global, image_share: 0.5}",
    "other weights": "score={propositional: 0.1, perspectival: 0.5, participatory: 0.4}",
    "longer sequences": "sequence_length=16384",
}


def resolved(pattern: str, output: Path, *overrides: str) -> Resolved:
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *overrides]
    return resolve_job(load_job(str(QUICKSTART), fields, input__shards=pattern, output=str(output)))


def units(given: Resolved) -> tuple[Unit, ...]:
    job = given.job
    return make_plan(
        job.output,
        given.inputs,
        given.recipe,
        target_shards=job.unit.target_shards,
        limit=None,
        rebuild=True,
        may_replan=may_replan,
    ).todo


def drive(chain: Chain, given: tuple[Unit, ...]) -> tuple[dict[str, float], int]:
    """CPU seconds of each operator and of reading, up to the tasks of `write`; and the samples that came through."""
    operators = [(stage.name, stage.build(lambda: None)) for stage in chain.stages]
    pack = chain.pack(given)
    spent = dict.fromkeys(("read", *(name for name, _ in operators), "pack"), 0.0)
    samples = 0

    def timed(name: str, call: Any) -> Any:
        start = time.process_time()
        found = call()
        spent[name] += time.process_time() - start
        return found

    for unit in given:
        for number in range(len(unit.shards)):
            tables = iter(chain.read(unit, number))
            while (table := timed("read", lambda tables=tables: next(tables, None))) is not None:
                for name, operator in operators:
                    table = timed(name, lambda operator=operator, table=table: operator(table))
                samples += table["shard_end"].null_count
                timed("pack", lambda table=table: list(pack(table)))
    return spent, samples


def lodepack(pattern: str, output: Path, *options: str) -> dict[str, Any]:
    """Runs the quickstart job by its command; what it printed."""
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--json", f"--input={pattern}"]
    command += [f"--output={output}", f"--set=tokenizer={ROOT}/jobs/samples/tokenizer.model", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))


def is_fresh(output: Path, fresh: Path) -> bool:
    """Whether the newest version of `output` and all its files are those of `fresh`."""
    wanted = {path: digest for path, digest in tree(fresh).items() if not path.startswith("versions/")}
    newest = max((output / "versions").iterdir()).read_bytes()
    return newest == (fresh / "versions" / "000001.json").read_bytes() and wanted.items() <= tree(output).items()


def measure(pattern: str, work: Path, runs: list[str]) -> dict[str, Any]:
    """runs: the changes, by name, for which whole runs are compared too."""
    import torch

    torch.set_num_threads(1)
    given = resolved(pattern, work / "older")
    scored, samples = drive(build_chain(given), units(given))
    lodepack(pattern, work / "older")
    found: dict[str, Any] = {"samples": samples, "building_cpu_seconds": scored, "changes": {}}
    for name, change in CHANGES.items():
        given = resolved(pattern, work / "older", change)
        todo = units(given)
        chain = replan_chain(given, build_chain(given), todo)
        spent = [drive(chain, todo) for _ in range(REPEATS)]
        assert all(count == samples for _, count in spent)
        seconds = sorted(sum(one.values()) for one, _ in spent)
        entry = {
            "set": change,
            "units": len(todo),
            "replanned": sum(unit.older is not None for unit in todo),
            "cpu_seconds": seconds,
            "share_of_scoring": max(seconds) / scored["score"],
        }
        if name in runs:
            entry |= compare(pattern, work, change)
        found["changes"][name] = entry
    return found


def compare(pattern: str, work: Path, change: str) -> dict[str, Any]:
    """A re-planned run and a fresh build."""
    shutil.copytree(work / "older", work / "again")
    again = lodepack(pattern, work / "again", "--rebuild", f"--set={change}")
    fresh = lodepack(pattern, work / "fresh", f"--set={change}")
    same = is_fresh(work / "again", work / "fresh")
    for folder in ("again", "fresh"):
        shutil.rmtree(work / folder)
    seconds = {"replanned": again["seconds"], "fresh": fresh["seconds"]}
    return {"wall_seconds": seconds, "views": again["replanned"]["views"], "same_bytes": same}


def main() -> None:
    """Prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default=str(ROOT / "jobs/samples/gimp-sample-{000000..000001}.tar"))
    parser.add_argument("--runs", nargs="*", default=list(CHANGES), choices=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measure(options.pattern, Path(work), options.runs)
    score = found["building_cpu_seconds"]["score"]
    print(f"{found['samples']} samples scored in {score:.2f} CPU seconds")
    for name, entry in found["changes"].items():
        print(f"{name}: {entry['replanned']} of {entry['units']} units re-planned in {max(entry['cpu_seconds']):.2f} CPU seconds, {entry['share_of_scoring']:.1%} of scoring", end="")  # fmt: skip # noqa: E501
        if "views" in entry:
            wall = entry["wall_seconds"]
            print(f"; run: {wall['replanned']} s, fresh {wall['fresh']} s; views {entry['views']}; same bytes: {entry['same_bytes']}", end="")  # fmt: skip # noqa: E501
        print()
    found["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    found["load"] = os.getloadavg()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    entries = found["changes"].values()
    if any(entry["share_of_scoring"] > GOAL or not entry.get("same_bytes", True) for entry in entries):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

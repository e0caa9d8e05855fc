r"""Measures the packer on documents' real lengths, and on many drawn from them, beside TRL's and a segment tree's.

    python -m tests.benchmarks.packing '../shared/data/gimp-help/gimp-{000000..000007}.tar' \
        --peers --json infra/bench/packing.json

The lengths are those that `lodepack run` measures with the quickstart job (without a pattern, of the bundled shards).
Drawn ones are real documents, tokens and patches each times a seeded factor from .9 to 1.1. Each row runs in a process
of its own, pinned to one core; the input is an array, and the result lists of indices (TRL's is its table, that of
"lodepack arrays" two arrays). --peers installs TRL in an environment of its own, and runs its best-fit on all
documents at once as TRL does on a batch of a data set, where they have at most PEER_TOKENS; it moves the documents'
tokens too, of which each takes one byte here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from tests.support import QUICKSTART, ROOT

CAPACITIES = (4096, 8192, 16384, 131072)
SEED = 5
PEER_TOKENS = 300_000_000
"""Tokens that TRL is given at most: for 1.1 billion, a million documents up to 4,096, it took 17.4 GiB of memory."""
WORKER = Path(__file__).with_name("packing_worker.py")

Integers = npt.NDArray[np.int64]


def measured_lengths(pattern: str, work: Path) -> Integers:
    """Tokens and patches [documents, 2] of a corpus, as the index of a build holds them."""
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--set", "pixels=none"]
    subprocess.run(
        [*command, "--input", pattern, "--output", str(work / "out")], cwd=ROOT, check=True, capture_output=True
    )
    rows = [
        row["lengths"]
        for path in sorted((work / "out" / "index").iterdir())
        for row in pq.read_table(path, columns=["lengths"]).to_pylist()
    ]
    return np.array([[row["tokens"], row["patches"]] for row in rows], np.int64)


def drawn(real: Integers, num_items: int) -> Integers:
    """Real documents with seeded jitter."""
    random = np.random.default_rng(SEED)
    chosen = real[random.integers(0, len(real), num_items)]
    return np.maximum(1, np.rint(chosen * random.uniform(0.9, 1.1, chosen.shape))).astype(np.int64)


def problem(items: Integers, capacity: int, limits: int) -> tuple[Integers, tuple[int, ...]]:
    """The documents that fit a sequence, and limits; a second is as many patches as make both bind alike."""
    items = items[items[:, 0] <= capacity]
    if limits == 1:
        return items[:, :1], (capacity,)
    while True:
        patches = int(items[:, 1].sum() / items[:, 0].sum() * capacity) + 1
        fits = items[:, 1] <= patches
        if fits.all():
            return items, (capacity, patches)
        # Without the documents of most patches, as many patches a token are fewer.
        items = items[fits]


def run_worker(python: str, packer: str, items: Integers, limits: tuple[int, ...], work: Path) -> dict[str, Any]:
    """One packer on one problem in a process of its own: bins, seconds, peak memory in MiB."""
    path = work / "items.npy"
    np.save(path, items[(items <= np.array(limits)).all(1)])
    command = [python, str(WORKER), packer, str(path), *map(str, limits)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)  # fmt: skip # noqa: E501
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def peer_environment(folder: Path) -> str:
    """A python that has TRL's module of packing and what it imports, and nothing of ours."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = ["trl", "datasets", "transformers>=5,<6", "torch==2.13.0"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def measure(
    real: Integers, num_drawn: tuple[tuple[int, ...], tuple[int, ...]], peer: str | None, work: Path
) -> list[dict[str, Any]]:
    """A row for each set of lengths, capacity, number of limits and packer."""
    sets: list[tuple[str, Integers, tuple[int, ...]]] = [("real", real, (1, 2))]
    sets += [("drawn", drawn(real, num_items), (k,)) for k in (1, 2) for num_items in num_drawn[k - 1]]
    rows = []
    for name, lengths, nums_limits in sets:
        for capacity in CAPACITIES:
            for num_limits in nums_limits:
                items, limits = problem(lengths, capacity, num_limits)
                bounds = [-(-int(total) // limit) for total, limit in zip(items.sum(0), limits, strict=True)]
                packers = ["lodepack"]
                if num_limits == 1:
                    packers += ["lodepack arrays", "segment tree"]
                    packers += ["TRL"] if peer and int(items.sum()) <= PEER_TOKENS else []
                for packer in packers:
                    found = run_worker(
                        peer if packer == "TRL" and peer else sys.executable, packer, items, limits, work
                    )
                    rows.append(
                        {
                            "lengths": name,
                            "documents": found["documents"],
                            "limits": limits,
                            "bounds": bounds,
                            "packer": packer,
                            "bins": found["bins"],
                            "of_bound": round(max(bounds) / found["bins"], 5),
                            "fill": round(int(items[:, 0].sum()) / found["bins"] / capacity, 5),
                            "seconds": round(found["seconds"], 3),
                            "items_per_second": round(found["documents"] / found["seconds"]),
                            "peak_mib": round(found["peak_mib"]),
                        }
                    )
                    Console(stderr=True).print(rows[-1], soft_wrap=True)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "lengths", "documents", "limits", "bounds", "packer", "bins", "bound/bins", "fill", "M items/s", "MiB"
    )
    for row in rows:
        limits, bounds = (" + ".join(f"{n:,}" for n in row[name]) for name in ("limits", "bounds"))
        numbers = f"{row['of_bound']:.5f}", f"{row['fill']:.5f}", f"{row['items_per_second'] / 1e6:.3f}"
        table.add_row(
            row["lengths"],
            f"{row['documents']:,}",
            limits,
            bounds,
            row["packer"],
            f"{row['bins']:,}",
            *numbers,
            f"{row['peak_mib']:,}",
        )
    Console(width=160).print(table)


def _problem_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["lengths"], row["documents"], tuple(row["limits"])


def machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []  # fmt: skip # noqa: E501
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": f"{os.cpu_count()}, of which each row used one",
        "load": f"{os.getloadavg()[2]:.1f} on average in the last quarter of an hour",
        "python": platform.python_version(),
        "numpy": version("numpy"),
    }


def main() -> None:
    """Prints the table, writes the JSON; exit 1 if a peer needs fewer bins than lodepack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default=str(ROOT / "jobs/samples/gimp-sample-{000000..000001}.tar"))
    parser.add_argument("--quick", action="store_true", help="20,000 drawn documents, 4,000 of two limits")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--items-two-limits", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--peers", action="store_true", help="install TRL and measure it too")
    parser.add_argument("--peer-python", help="a python that has TRL, instead of installing it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        real = measured_lengths(options.pattern, work)
        peer = options.peer_python or (peer_environment(work / "peer") if options.peers else None)
        num_drawn = ((20_000,), (4_000,)) if options.quick else (options.items, options.items_two_limits)
        rows = measure(real, num_drawn, peer, work)
    show(rows)
    if options.json:
        found = {"corpus": Path(options.pattern).name, "machine": machine(), "seed": SEED, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    ours = {_problem_of(row): row["bins"] for row in rows if row["packer"] == "lodepack"}
    if any(row["bins"] < ours[_problem_of(row)] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

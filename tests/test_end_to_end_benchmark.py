"""What the benchmark of whole builds reckons with: its rates, its input, and that the bare loop does a build's work."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.progress import Screen
from jobs.spec import load_job
from operators.threads import one_thread
from tests.benchmarks.end_to_end.bare import Bare
from tests.benchmarks.end_to_end.modes import MODES, Mode, write_job
from tests.benchmarks.end_to_end.photographs import Photographs, make_photographs
from tests.benchmarks.end_to_end.proc import role_of
from tests.benchmarks.end_to_end.rates import Run, goal_against_usual, steady_rates
from tests.benchmarks.end_to_end.report import ratios
from tests.benchmarks.end_to_end.watching import watch


def test_a_rate_is_what_a_longer_run_does_more() -> None:
    """However long both take to start, and whatever they have under way."""
    rates = steady_rates(Run(30.0, 100, 800, 9000), Run(40.0, 400, 3200, 36000))
    assert (rates.images, rates.tokens, rates.bytes) == (30.0, 240.0, 2700.0)


def test_a_longer_run_that_took_no_longer_has_no_rate() -> None:
    with pytest.raises(ValueError, match="give more images"):
        steady_rates(Run(3.0, 10, 1, 1), Run(2.9, 20, 2, 2))


def test_a_goal_beyond_the_bare_loop_is_nine_tenths_of_it() -> None:
    assert goal_against_usual(3.0, 4.0) == 3.0
    assert goal_against_usual(3.0, 2.0) == pytest.approx(1.8)


def test_a_ratio_is_the_median_of_those_of_rounds() -> None:
    """A round in which one of the two gave no rate has none."""
    rates = {"ray": {1: 60.0, 2: 90.0, 4: 20.0, 5: 1.0}, "bare": {1: 100.0, 2: 100.0, 3: 1.0, 4: 40.0}}
    runs = {
        name: [{"round": number, "images_per_second": rate} for number, rate in found.items()]
        for name, found in rates.items()
    }
    assert ratios(runs, None) == [{"ratio": "ray/bare", "value": 0.6, "goal": 0.85, "is_met": False}]


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    return make_photographs(seed=1, count=8)


def test_generated_photographs_are_like_real_ones_and_the_same_again(photographs: Photographs) -> None:
    assert make_photographs(seed=1, count=2).pairs == photographs.pairs[:2]
    sizes = [Image.open(io.BytesIO(data)).size for data, _ in photographs.pairs]
    assert all(336 <= max(size) <= 1600 for size in sizes)
    assert 0.1 < sum(len(data) for data, _ in photographs.pairs) / sum(w * h for w, h in sizes) < 0.25


def test_a_process_is_watched_with_what_it_starts(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'b = bytearray(80_000_000); import time; time.sleep(1.2)'])\n"
    )
    watched = watch([sys.executable, str(script)], tmp_path, {})
    roles = watched.by_role()
    assert set(roles) == {"parent.py", "python -c"}
    assert roles["python -c"]["pss_mb"] > 80 > roles["parent.py"]["pss_mb"]
    assert watched.peak_bytes > 80e6
    assert watched.wall_seconds > 1.2


def test_a_process_is_called_by_what_it_does() -> None:
    assert role_of(["ray::Decode.run"]) == "ray::Decode.run"
    assert role_of(["/venv/bin/python", "-m", "jobs", "run"]) == "jobs"
    assert role_of(["/lib/raylet/raylet", "--store=1"]) == "raylet"


@pytest.mark.parametrize("mode", [mode for mode in MODES if not mode.is_new], ids=lambda mode: mode.name)
def test_the_bare_loop_packs_what_a_build_packs(tmp_path: Path, photographs: Photographs, mode: Mode) -> None:
    shard = tmp_path / "in" / "photos-000.tar"
    small = sorted(photographs.pairs, key=lambda pair: len(pair[0]))[:3]
    replace(photographs, pairs=tuple(small)).write_shard(shard, 3, 0)
    write_job(mode, tmp_path / "job.yaml", [shard], tmp_path / "built")
    job = load_job(str(tmp_path / "job.yaml"), [])
    with one_thread():
        done = Bare(job).pack_shard(str(shard), tmp_path)
    with Screen(quiet=True) as screen:
        summary = run_job(resolve_job(job), local=True, workers=None, rebuild=False, progress=screen)
    assert summary["totals"]["tokens"]["tokens"] == done["tokens"]
    found = _shown(tmp_path)
    assert len(found) == done["images"] == 3
    assert found == _shown(tmp_path / "built" / "data")


def _shown(folder: Path) -> dict[str, Any]:
    """What each sample became, wherever it was packed."""
    found: dict[str, Any] = {}
    for path in folder.glob("*.parquet"):
        for pack in pq.read_table(path).to_pylist():
            views = pack["views"]
            for number, sample in enumerate(pack["samples"]):
                start, end = sample.pop("start"), sample.pop("length")
                end += start
                columns = [pack[name][start:end] for name in ("input_ids", "labels", "modality")]
                positions = [row[start:end] for row in pack["position_ids"]]
                own = [
                    view | {"sample": 0, "start": view["start"] - start} for view in views if view["sample"] == number
                ]
                assert set(pack["segment_ids"][start:end]) == {number}
                assert {start, end} <= set(pack["cu_seqlens"])
                found[sample["id"]["key"]] = [sample, columns, positions, own]
    return found

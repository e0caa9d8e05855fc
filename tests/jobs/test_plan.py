"""`lodepack plan` says what a run would do, forecasts what it makes, and writes nothing to the output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.chain import build_chain, resolve_job
from jobs.cli import main
from jobs.plan import cautions
from jobs.plan.choosing import Part, Stratum, choose
from jobs.plan.clusters import place
from jobs.plan.estimating import Estimate, ratio
from jobs.plan.headers import BYTES, MEASURES, SAMPLES
from jobs.plan.packed import is_under_floor
from jobs.replanning import may_replan
from jobs.shapes import describe, parse_shape
from jobs.spec import load_job
from operators.budget import BudgetConfig
from pipeline.errors import ConfigError
from pipeline.planning import Plan, make_plan
from pipeline.types import Shard, Source
from tests.support import QUICKSTART, ROOT, build, documents, write_pairs, write_shard, write_small_shards

Call = Callable[..., tuple[int, str, str]]
FAST = ("score=null", "budget=none", "pixels=none")
MADE = ("samples", "packed", "rejected", "images", "tokens", "text_tokens", "visual_tokens", "sequences", "fill")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lodepack", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def options(shards: str, output: Path, *more: str) -> list[object]:
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *FAST]
    return ["plan", QUICKSTART, "--input", shards, "--output", output, *(f"--set={field}" for field in fields), *more]


def plan_of(shards: str, output: Path, *fields: str, **given: Any) -> Plan:
    overrides = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *FAST, *fields]
    job = load_job(str(QUICKSTART), overrides, input__shards=[shards], output=str(output), **given)
    found = resolve_job(job)
    return make_plan(
        str(output),
        found.inputs,
        found.recipe,
        target_shards=job.unit.target_shards,
        limit=job.limit,
        rebuild=False,
        may_replan=may_replan,
    )


def draw(rng: np.random.Generator, num_shards: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights and values of the documents of shards, those of one shard a little alike."""
    for _ in range(num_shards):
        held = rng.gamma(2.0, 1000.0, 40)
        yield held, held * rng.normal(3.0, 0.2) + rng.normal(0.0, 1500.0, 40)


def estimate_of(shards: list[tuple[np.ndarray, np.ndarray]], sampled: list[int]) -> Estimate:
    places = np.repeat(np.arange(len(sampled)), [len(shards[i][0]) for i in sampled])
    held, values = (np.concatenate([shards[i][of] for i in sampled]) for of in (0, 1))
    return ratio(places, held, values, sum(float(one.sum()) for one, _ in shards), len(shards)).estimate()


def test_an_estimate_is_exact_where_shards_are_alike() -> None:
    shard = (np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    assert estimate_of([shard] * 8, [0, 5]) == Estimate(480.0, 480.0, 480.0)


def test_an_estimate_from_all_shards_is_their_sum() -> None:
    shards = list(draw(np.random.default_rng(3), 3))
    found = estimate_of(shards, [0, 1, 2])
    assert found.low == found.value == found.high == pytest.approx(sum(values.sum() for _, values in shards))


@pytest.mark.parametrize("num_sampled", [2, 4])
def test_intervals_hold_the_truth_nine_times_of_ten(num_sampled: int) -> None:
    rng = np.random.default_rng(num_sampled)
    hits = 0
    for _ in range(200):
        shards = list(draw(rng, 12))
        found = estimate_of(shards, rng.permutation(12)[:num_sampled].tolist())
        hits += found.low <= sum(float(values.sum()) for _, values in shards) <= found.high
    assert hits >= 0.85 * 200


def test_what_was_never_seen_may_still_be_there() -> None:
    shards = [(np.ones(50), np.zeros(50))] * 4
    found = estimate_of(shards, [0, 1])
    assert found.value == found.low == 0
    assert 0 < found.high < 10


def test_the_choice_of_shards_spreads_over_sizes_and_never_changes(tmp_path: Path) -> None:
    plan = plan_of(write_small_shards(tmp_path, 8, 2), tmp_path / "out", "unit.target_shards=2")
    (stratum,) = choose(plan, 3)
    sizes = [part.num_bytes for part in stratum.parts]
    chosen = [part.num_bytes for part in stratum.chosen]
    assert chosen == sorted(chosen)
    assert min(sizes) == chosen[0] < chosen[-1] == max(sizes)
    assert len({part.shard.name for part in stratum.chosen}) == 3
    assert choose(plan, 3) == [stratum]
    assert len(choose(plan, 99)[0].chosen) == 8


def test_a_limited_run_is_forecast_by_the_samples_it_takes(tmp_path: Path) -> None:
    plan = plan_of(write_small_shards(tmp_path, 4, 3), tmp_path / "out", limit=5)
    (stratum,) = choose(plan, 2)
    assert stratum.total(BYTES) == stratum.total(SAMPLES) == 5


def test_a_plan_writes_nothing_and_tells_what_the_run_then_makes(tmp_path: Path, call: Call) -> None:
    shards, output = write_small_shards(tmp_path / "in", 4, 3), tmp_path / "out"
    arguments = options(shards, output, "--local", "--json")
    code, text, _ = call(*arguments, "--shards", 4)
    assert code == 0
    assert not output.exists()
    found = json.loads(text)
    assert found["units"]["to_build"] == 1
    assert {one["why"] for one in found["units"]["why"]} == {"nothing is committed yet"}
    made = build(output, shards, *FAST)["totals"]
    forecast = found["forecast"]
    assert {name: forecast[name]["value"] for name in ("samples", "tokens", "text_tokens", "visual_tokens")} == {
        "samples": made["samples"]["read"],
        "tokens": made["tokens"]["tokens"],
        "text_tokens": made["tokens"]["text"],
        "visual_tokens": made["tokens"]["visual"],
    }
    assert forecast["cpu_hours"]["low"] <= forecast["cpu_hours"]["value"] <= forecast["cpu_hours"]["high"]


def test_a_mixture_is_forecast_source_by_source(tmp_path: Path, call: Call) -> None:
    docs = {"shards": write_small_shards(tmp_path / "docs", 2, 3), "weight": 2.5}
    photos = {"shards": write_pairs(tmp_path / "photos", 2, 6), "format": "pairs", "weight": 0.5}
    bad = {"shards": str(write_shard(tmp_path / "bad" / "x.tar", {"a.txt": b"\xff", "b.txt": b"two words"}))}
    fields = (f"input={json.dumps({'sources': {'docs': docs, 'photos': photos, 'bad': bad | {'format': 'text'}}})}",)
    fields += ("derive=[shuffle-texts]", "pack.closing=true", "pack.align=64", "limits.max_reject_ratio=0.5")
    job = [QUICKSTART, "--output", tmp_path / "out", f"--set=tokenizer={ROOT}/jobs/samples/tokenizer.model"]
    found = json.loads(call("plan", *job, *(f"--set={field}" for field in (*FAST, *fields)), "--json")[1])
    made = build(tmp_path / "out", None, *FAST, *fields)
    assert found["forecast"]["tokens"]["value"] == made["totals"]["tokens"]["tokens"]
    assert {name: one["tokens"]["value"] for name, one in found["sources"].items()} == {
        name: one["totals"]["tokens"]["tokens"] for name, one in made["sources"].items()
    }
    assert {reason: one["value"] for reason, one in found["rejects"].items()} == made["reasons"] != {}


def test_texts_without_pictures_and_shards_without_samples_are_forecast(tmp_path: Path, call: Call) -> None:
    for i in range(3):
        write_shard(tmp_path / "in" / f"{i}.tar", {f"{n}.txt": b"a few words" for n in range(i * 5)})
    arguments = options(str(tmp_path / "in" / "*.tar"), tmp_path / "out", "--set=input.format=text", "--json")
    found = json.loads(call(*arguments, "--shards", "3")[1])
    assert found["forecast"]["samples"]["value"] == found["forecast"]["packed"]["value"] == 15
    assert found["operators"]["write"]["value"] > 0
    (tmp_path / "in" / "1.tar").unlink()
    (tmp_path / "in" / "2.tar").unlink()
    assert json.loads(call(*arguments)[1])["forecast"]["tokens"]["value"] == 0


def test_the_same_plan_gives_the_same_json_and_only_times_differ(tmp_path: Path, call: Call) -> None:
    arguments = options(write_small_shards(tmp_path / "in", 4, 2), tmp_path / "out", "--json")
    one, other = (json.loads(call(*arguments)[1]) for _ in range(2))
    assert {name: one["forecast"][name] for name in MADE} == {name: other["forecast"][name] for name in MADE}
    assert one.keys() == other.keys()
    for name in ("units", "pools", "sampled", "rejects", "cluster"):
        assert one[name] == other[name]


def test_a_plan_says_why_each_unit_would_be_built(tmp_path: Path, call: Call) -> None:
    shards, output = write_small_shards(tmp_path / "in", 3, 2), tmp_path / "out"
    build(output, shards, *FAST, "unit.target_shards=1")
    arguments = options(str(tmp_path / "in" / "*.tar"), output, "--json", "--set=unit.target_shards=1")
    assert json.loads(call(*arguments)[1])["units"] == {
        "to_build": 0,
        "replanned": 0,
        "committed": 3,
        "shards": 0,
        "withheld_shards": 0,
        "why": [],
    }
    others = list(documents().items())[-4:]
    write_shard(
        tmp_path / "in" / "small-000001.tar", {name: data for _, one in others[:2] for name, data in one.items()}
    )
    write_shard(
        tmp_path / "in" / "small-000003.tar", {name: data for _, one in others[2:] for name, data in one.items()}
    )
    why = [one["why"] for one in json.loads(call(*arguments)[1])["units"]["why"]]
    assert why == ["changed: small-000001.tar", "added: small-000003.tar"]


def test_a_person_gets_tables_and_one_line_errors(tmp_path: Path, call: Call) -> None:
    arguments = options(write_small_shards(tmp_path / "in", 2, 2), tmp_path / "out")
    code, text, _ = call(*arguments, "--cluster", "4x(cpus=16,gpus=1)")
    assert code == 0
    assert all(word in text for word in ("forecast", "wall time", "4x(cpus=16,gpus=1)", "nothing is committed yet"))
    code, _, error = call(*arguments, "--cluster", "big")
    assert (code, len(error.splitlines())) == (2, 1)
    code, _, error = call(*arguments, "--gpus", 2)
    assert (code, len(error.splitlines())) == (2, 1)


def test_a_cluster_that_grows_is_reckoned_with_at_its_largest_unless_another_is_named(
    tmp_path: Path, call: Call
) -> None:
    arguments = options(write_small_shards(tmp_path / "in", 1, 2), tmp_path / "out", "--json")
    arguments.append("--set=resources.grows_to=cpus=2 + 3x(cpus=8,gpus=1)")
    for named, shape in (
        ((), "1x(cpus=2,gpus=0) + 3x(cpus=8,gpus=1)"),
        (("--cluster", "2x(cpus=4)"), "2x(cpus=4,gpus=0)"),
        (("--local",), None),
    ):
        assert json.loads(call(*arguments, *named)[1])["cluster"] == shape


def test_clusters_are_read_and_named_alike() -> None:
    assert describe(parse_shape("4x(cpus=16,gpus=1) + cpus=8", "--cluster")) == "4x(cpus=16,gpus=1) + 1x(cpus=8,gpus=0)"
    for wrong in ("", "0x(cpus=4)", "4x(gpus=1)", "cpus=0", "2x(cpus=4"):
        with pytest.raises(ConfigError, match="--cluster"):
            parse_shape(wrong, "--cluster")


def part(name: str, num_bytes: int) -> Part:
    return Part(Shard(name, name), 0, None, dict.fromkeys(MEASURES, float(num_bytes)), num_bytes)


def test_each_thing_that_will_hurt_is_warned_of(tmp_path: Path) -> None:
    parts = (*(part(f"{i}.tar", 100) for i in range(4)), part("big.tar", 1000))
    (huge,) = cautions.huge_shards([Stratum(Source("pairs"), parts, parts[:2])])
    assert "big.tar" in huge.text
    assert not cautions.huge_shards([Stratum(Source("pairs"), parts[:4], parts[:2])])
    assert [one.kind for one in cautions.few_documents({0: 3.0, 1: 80.0})] == ["few-documents"]
    assert not cautions.few_documents({1: 80.0})
    budget = BudgetConfig(max_image_tokens=400)
    assert is_under_floor(7, budget)
    assert not is_under_floor(6, budget)
    images = Estimate(100, 90, 110)
    assert [one.kind for one in cautions.floors(images, Estimate(5, 1, 9), budget)] == ["under-floor"]
    assert not cautions.floors(images, Estimate(0, 0, 3), budget)
    assert "will fail" in cautions.rejects(images, Estimate(10, 8, 12), 0.05)[0].text
    assert "may fail" in cautions.rejects(images, Estimate(3, 0, 12), 0.05)[0].text
    assert not cautions.rejects(images, Estimate(0, 0, 3), 0.05)
    assert [one.kind for one in cautions.guessed(["score"], 2)] == ["no-gpu", "replanned"]
    assert not cautions.guessed([], 0)
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "resources.decode={cpus: 8}"]
    job = load_job(str(QUICKSTART), fields, output=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="do not fit"):
        place(build_chain(resolve_job(job)), parse_shape("2x(cpus=4)", "--cluster"), 2)

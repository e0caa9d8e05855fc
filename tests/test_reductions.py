"""Jobs that reduce visual tokens: sound, the same bytes wherever they run, and every kept token at its old place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader

from jobs.verify import verify
from operators import profiles
from pipeline.errors import ConfigError
from pipeline.loading import PackedDataset, collate
from pipeline.types import Modality
from tests.calling import call
from tests.support import SPREAD, build, tree, write_small_shards
from tests.test_replanning import is_fresh, replanned

PLAIN = ("pixels=none", "unit.target_shards=2", "limits.max_reject_ratio=0")
SMALL = (*PLAIN, "profile=llava_1_5", "budget=none", "sequence_length=2048", "score.participatory=0")
LOD = (*PLAIN, "sequence_length=4096", "score.participatory=0")
"""Qwen-VL under the level-of-detail budget."""
BOTH = "reduce=[{method: mustdrop_merge}, {method: rank, schedule: pyramid}]"
MERGED = "reduce=[{method: mustdrop_merge, window: 2, threshold: 0.5}]"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 3, 3)


@pytest.fixture(scope="module")
def both(shards: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Merged, then ranked."""
    output = tmp_path_factory.mktemp("both") / "out"
    build(output, shards, *SMALL, BOTH)
    return output


def packs(output: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((output / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def plans_of(output: Path) -> list[dict[str, Any]]:
    return [plan["reduction"] for row in packs(output) for plan in row["plans"]]


def is_sound(output: Path) -> bool:
    found = [f"{one.where}: {one.what}" for one in verify(str(output)).findings]
    assert found == []
    return True


@pytest.mark.parametrize(
    ("reduce", "options"),
    [
        ("hires_restore", (*PLAIN, "profile=hires_llava", "budget=none", "score=null", "sequence_length=16384")),
        ("wico", (*SMALL, "score=null")),
        ("tokenflex", (*SMALL, "score=null", "pack.closing=true", "pack.align=64")),
        ("sparsevlm", SMALL),
        ("dyrate", (*SMALL, "sequence_length=640", "limits.max_reject_ratio=1")),
    ],
)
def test_a_job_of_each_stage_is_sound(reduce: str, options: tuple[str, ...], shards: str, tmp_path: Path) -> None:
    summary = build(tmp_path / "out", shards, *options, f"reduce=[{{method: {reduce}}}]")
    counts = summary["totals"]["samples"]
    assert (counts["read"], counts["packed"] + counts["rejected"]) == (9, 9)
    assert counts["packed"] > (4 if reduce == "dyrate" else 8)
    assert is_sound(tmp_path / "out")
    found = plans_of(tmp_path / "out")
    assert {tuple(one["methods"]) for one in found} == {(reduce,)}
    assert summary["totals"]["tokens"]["visual"] == sum(one["num_kept"] for one in found)


def test_methods_after_each_other_are_sound_and_counted(both: Path) -> None:
    assert is_sound(both)
    found = plans_of(both)
    assert {tuple(one["methods"]) for one in found} == {("mustdrop_merge", "rank")}
    assert sum(one["num_kept"] for one in found) < sum(one["num_tokens"] for one in found)
    for one in found:
        assert (one["num_tokens"] - one["num_kept"]) % 8 == 0
        assert sorted(one["order"]) == list(range(one["num_kept"]))
        assert [step["tokens"] for step in one["schedule"]] == [one["num_kept"] // by for by in (2, 4, 8)]


def test_a_second_build_is_the_same(shards: str, both: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", shards, *SMALL, BOTH)
    assert tree(tmp_path / "again") == tree(both)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_same_bytes(shards: str, both: Path, tmp_path: Path) -> None:
    options = (*SMALL, BOTH, "resources.reduce={cpus: 0.05}", *SPREAD)
    build(tmp_path / "out", shards, *options, local=False, workers=2)
    assert tree(tmp_path / "out") == tree(both)


def family(name: str, folder: Path) -> str:
    """A bundled profile; or InternVL with the positions of V2PE, of which no bundled one is."""
    if name != "v2pe":
        return name
    text = (Path(profiles.__file__).parent / "internvl.yaml").read_text()
    (folder / "v2pe.yaml").write_text(text.replace("positions: {rule: 1d}", "positions: {rule: v2pe, stride: 64}"))
    return str(folder / "v2pe.yaml")


@pytest.mark.parametrize("name", ["llava_1_5", "qwen2_5_vl", "llava_next", "v2pe"])
def test_tokens_that_stay_have_the_ids_labels_and_positions_of_the_unreduced_document(
    name: str, shards: str, tmp_path: Path
) -> None:
    options = (*PLAIN, f"profile={family(name, tmp_path)}", "budget=none", "score=null", "sequence_length=32768")
    build(tmp_path / "whole", shards, *options, "limit=6")
    build(tmp_path / "less", shards, *options, "limit=6", MERGED)
    assert is_sound(tmp_path / "less")
    whole, less = (documents_of(tmp_path / folder) for folder in ("whole", "less"))
    assert whole.keys() == less.keys()
    num_gone = 0
    for key, (columns, _) in whole.items():
        found, plans = less[key]
        stays = np.ones(columns.shape[1], bool)
        visual = np.flatnonzero(columns[2] == Modality.IMAGE)
        for plan in plans:
            own, visual = visual[: plan["num_tokens"]], visual[plan["num_tokens"] :]
            stays[np.delete(own, plan["kept"])] = False
        assert len(visual) == 0
        assert np.array_equal(columns[:, stays], found)
        num_gone += int((~stays).sum())
    assert num_gone > 20


def documents_of(output: Path) -> dict[str, tuple[np.ndarray, list[dict[str, Any]]]]:
    """Of each unsplit document its ids, labels, modalities and positions, a row each, and its plans."""
    found = {}
    for row in packs(output):
        columns = np.array([row["input_ids"], row["labels"], row["modality"], *row["position_ids"]])
        for number, sample in enumerate(row["samples"]):
            assert sample["num_parts"] == 1
            start, end = sample["start"], sample["start"] + sample["length"]
            assert row["cu_seqlens"][number : number + 2] == [start, end]
            assert set(row["segment_ids"][start:end]) == {number}
            plans = [one["reduction"] for one in row.get("plans", []) if one["sample"] == number]
            found[sample["id"]["key"]] = columns[:, start:end], plans
    return found


def test_another_length_is_planned_anew_from_the_index_and_documents_are_split(
    shards: str, both: Path, tmp_path: Path
) -> None:
    changes = ("sequence_length=640", "pack.closing=true", "limits.max_reject_ratio=1")
    shutil.copytree(both, tmp_path / "out")
    assert replanned(tmp_path / "out", shards, *SMALL, BOTH, *changes)["units"] == 2
    build(tmp_path / "fresh", shards, *SMALL, BOTH, *changes)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert is_sound(tmp_path / "out")
    assert any(sample["num_parts"] > 1 for row in packs(tmp_path / "fresh") for sample in row["samples"])


def test_another_budget_is_built_from_the_shards(shards: str, tmp_path: Path) -> None:
    """Other views have other tokens, which only pictures can tell how to merge."""
    build(tmp_path / "out", shards, *LOD, BOTH)
    assert is_sound(tmp_path / "out")
    summary = build(tmp_path / "out", shards, *LOD, BOTH, "budget.max_tokens=64", rebuild=True)
    assert (summary["units"]["built"], summary["replanned"]["units"]) == (2, 0)
    build(tmp_path / "fresh", shards, *LOD, BOTH, "budget.max_tokens=64")
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")


def test_sources_that_are_mixed_are_drawn_for_by_their_own_names(shards: str, tmp_path: Path) -> None:
    sources = {"a": {"shards": shards, "weight": 2}, "b": {"shards": shards}}
    mixture = f"input={json.dumps({'sources': sources})}"
    build(tmp_path / "out", None, mixture, *SMALL, "score=null", "reduce=[{method: tokenflex}]")
    assert is_sound(tmp_path / "out")
    pools = {(grid["rows"], grid["cols"]) for one in plans_of(tmp_path / "out") for grid in one["pools"]}
    assert pools == {(8, 8), (12, 12), (16, 16)}


def test_a_trainer_gets_the_plans_of_each_pack(both: Path) -> None:
    dataset = PackedDataset(str(both))
    stored = [row["plans"] for row in packs(both)]
    assert [example["plans"] for example in dataset] == stored
    batch = next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate)))
    assert batch["plans"] == stored[:2]


def test_what_is_shown_of_an_output_counts_what_is_left(both: Path) -> None:
    found = plans_of(both)
    num_kept = sum(one["num_kept"] for one in found)
    stats = json.loads(call("stats", both, "--json").out)["all"]
    assert stats["tokens"]["visual"] == num_kept
    assert stats["images"]["tokens_each"]["max"] == max(one["num_kept"] for one in found)
    row = next(row for row in packs(both) if row["plans"])
    first = row["plans"][0]
    reduction, key = first["reduction"], row["samples"][first["sample"]]["id"]["key"]
    said = call("inspect", both, "--explain", key).out
    assert f"mustdrop_merge and rank: {reduction['num_kept']:,} of 576 tokens" in said
    assert f"by layer: {reduction['schedule'][0]['tokens']:,} from 8" in said
    listed = json.loads(call("inspect", both, "--json").out)["packs"]
    assert sum(one["tokens"]["visual"] for one in listed) == num_kept
    assert call("report", both).code == 0


@pytest.mark.parametrize(
    ("reduce", "said"),
    [
        ("[{method: wiko}]", "reduce.0: no method is called 'wiko'; wico perhaps; there are dyrate, frame_pool, "),
        ("[{}]", "reduce.0: missing method: one is required"),
        ("[wico]", "reduce.0: a section is expected, {field: value} (found 'wico')"),
        ("wico", "reduce: a list is expected, [value, value] (found 'wico')"),
        ("[{method: wico, windw: 3}]", "reduce.0.wico.windw: unknown field; remove it or check its spelling"),
        ("[{method: wico, window: [0, 2]}]", "reduce.0.wico.window.0: Input should be greater than 0 (found 0)"),
        ("[{method: tokenflex, probabilities: {65: 1}}]", "65 is no square"),
        ("[{method: rank, schedule: [[2, 1.5]]}]", "Input should be less than or equal to 1 (found 1.5)"),
        ("[{method: rank, schedule: pyramyd}]", "Input should be 'pyramid', 'fastv' or 'progressive'"),
        ("[{method: wico}, {method: tome}]", "reduce: wico and tome decide the same: each decides which tokens have"),
        (
            "[{method: rank}, {method: tome}]",
            "it decides which tokens each layer of the language model sees; name",
        ),
        ("[{method: rank}]", "reduce: rank ranks tokens by scores: give score its weights, or name a file of scores"),
        ("[{method: rank, scores: a}, {method: dyrate, scores: b}]", "reduce: a and b both have scores: name one file"),
    ],
)
def test_a_mistake_in_reduce_is_one_line(reduce: str, said: str, shards: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(tmp_path / "out", shards, *SMALL, "score=null", f"reduce={reduce}")
    _, line = str(caught.value).split("\n")
    assert said in line


@pytest.mark.parametrize(
    ("reduce", "said"),
    [
        ("[{method: rank, scores: nowhere.jsonl}]", "reduce: no scores at .*/nowhere.jsonl: No such file"),
        (
            "[{method: wico, window: [5, 5]}]",
            "wico cannot take what profile llava_1_5 makes of a picture: a grid of",
        ),
        ("[{method: hires_restore}, {method: self_mining, region: 7}]", "self_mining cannot take what profile llava"),
    ],
)
def test_what_no_picture_could_pass_is_refused_before_any_work(
    reduce: str, said: str, shards: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^reduce: .*{said.removeprefix('reduce: ')}"):
        build(tmp_path / "out", shards, *SMALL, "score=null", f"reduce={reduce}")
    assert not (tmp_path / "out").exists()


def test_scores_of_ones_own_rank_and_what_has_none_is_rejected(shards: str, tmp_path: Path) -> None:
    rows = []
    build(tmp_path / "whole", shards, *SMALL, "score=null")
    index = [row for path in (tmp_path / "whole/index").iterdir() for row in pq.read_table(path).to_pylist()]
    index.sort(key=lambda row: row["id"]["key"])
    rng = np.random.default_rng(0)
    for row in index[1:]:
        rows += [
            {"key": row["id"]["key"], "image": number, "scores": rng.permutation(576).tolist()}
            for number in range(row["lengths"]["images"])
        ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = f"reduce=[{{method: rank, scores: {tmp_path}/own.jsonl}}]"
    summary = build(tmp_path / "out", shards, *SMALL, "score=null", given, "limits.max_reject_ratio=1")
    assert summary["reasons"] == {"reduction-scores": 1}
    assert is_sound(tmp_path / "out")
    orders = {(row["key"], row["image"]): np.argsort(-np.array(row["scores"])).tolist() for row in rows}
    for pack in packs(tmp_path / "out"):
        for plan in pack["plans"]:
            sample = pack["samples"][plan["sample"]]
            assert plan["reduction"]["order"] in [
                order for (key, _), order in orders.items() if key == sample["id"]["key"]
            ]

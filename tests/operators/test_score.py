"""A score depends on its picture alone, and a budget renders each region within what its relevance allows."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.budget import BudgetConfig, allocate
from operators.profiles import load_profile
from operators.score import BATCH_TILES, Score
from operators.slice import Slice
from operators.weights import ScoreConfig
from pipeline.schema import DECODED, MEASURED, TOKENIZED

QWEN, NEXT = load_profile("qwen2_5_vl"), load_profile("llava_next")
BUDGET = BudgetConfig()
SIZES = [(1200, 900), (100, 100), (700, 300), (37, 2000), (640, 480)]


def coarse_noise(rng, height, width):
    """Blocks of 6 pixels, so that resampling leaves them noise."""
    blocks = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1), np.uint8)
    return blocks.repeat(6, 0).repeat(6, 1)[:height, :width]


def small(kind, width, height):
    rng = np.random.default_rng(width)
    longest = max(width, height, 768)
    shape = (max(1, height * 768 // longest), max(1, width * 768 // longest))
    pixels = np.full(shape, 255, np.uint8)
    noisy = {"flat": 0, "half": shape[1] // 2, "noise": shape[1]}[kind]
    pixels[:, :noisy] = coarse_noise(rng, shape[0], noisy)
    return {"data": pixels.tobytes(), "width": shape[1], "height": shape[0]}


def rows_of(*documents, profile=QWEN, budget=BUDGET, **changes):
    """One TOKENIZED row per document, a document being (kind, width, height) of each of its images."""
    rows = []
    for ordinal, images in enumerate(documents):
        segments = [{"kind": 1, "text": None, "member": "m", "offset": 512, "size": 9} for _ in images]
        row = {"unit": 0, "shard": "0.tar", "shard_number": 0, "ordinal": ordinal, "key": str(ordinal)}
        row |= {"segments": segments, "withheld": False, "rejection": None, "shard_end": None}
        row["pictures"] = [{"width": w, "height": h, "format": "png"} for _, w, h in images]
        row["smalls"] = [small(*image) for image in images]
        rows.append(row | changes)
    sliced = Slice(profile, budget.max_regions if budget else None)(pa.Table.from_pylist(rows, DECODED)).to_pylist()
    for row in sliced:
        row["tokens"] = [[] for _ in row["segments"]]
        row["runs"] = [
            [{"id": 9, **{k: run[k] for k in ("modality", "view", "count")}} for run in layout]
            for layout in row["layouts"]
        ]
    return pa.Table.from_pylist([{name: row.get(name) for name in TOKENIZED.names} for row in sliced], TOKENIZED)


def score(table, profile=QWEN, budget=BUDGET, **weights):
    slicing = profile.slicing if profile is QWEN else None
    scored = Score(ScoreConfig(**weights), budget, slicing, "cpu")(table)
    assert scored.schema == MEASURED
    return scored.to_pylist()


def tokens_of(row):
    return [view["tokens"] for plan in row["plans"] for view in plan["views"]]


def test_flat_picture_gets_the_floor_and_a_noisy_one_all():
    flat, noisy = score(rows_of([("flat", 1200, 900)], [("noise", 1200, 900)]))
    assert max(tokens_of(flat)) <= 64
    assert {view["relevance"] for view in flat["plans"][0]["views"]} == {0}
    assert {view["relevance"] for view in noisy["plans"][0]["views"]} <= set(range(240, 256))
    assert min(tokens_of(noisy)) > 144


def test_detail_goes_where_the_detail_is():
    (row,) = score(rows_of([("half", 1200, 900)]), budget=BudgetConfig(max_image_tokens=100_000))
    views = row["plans"][0]["views"]
    columns = 1 + max(view["col"] for view in views)
    left = [view["tokens"] for view in views if view["col"] < columns // 2]
    right = [view["tokens"] for view in views if view["col"] > columns // 2]
    assert left == [min(400, view["rows"] * view["cols"]) for view in views if view["col"] < columns // 2]
    assert min(left) > 3 * max(right)
    assert max(right) <= 64


def test_budgets_are_those_of_the_rule_and_runs_follow_the_views():
    table = rows_of([("half", 1200, 900), ("noise", 700, 300)], [("noise", 3000, 2000)])
    before = table.to_pylist()
    for old, row in zip(before, score(table), strict=True):
        for was, plan, runs in zip(old["plans"], row["plans"], row["runs"], strict=True):
            views = plan["views"]
            expected = allocate([v["relevance"] for v in views], [v["tokens"] for v in was["views"]], BUDGET)
            assert [view["budget"] for view in views] == expected
            assert all(view["tokens"] <= view["budget"] for view in views)
            assert sum(view["tokens"] for view in views) <= BUDGET.max_image_tokens
            assert [view["box"] for view in views] == [view["box"] for view in was["views"]]
            assert [view["cells"] for view in views] == [view["cells"] for view in was["views"]]
            for i, view in enumerate(views):
                assert sum(run["count"] for run in runs if run["view"] == i) == view["tokens"]
                assert view["grid_h"] * view["grid_w"] == 4 * view["tokens"]
                assert (view["height"], view["width"]) == (view["rows"] * 28, view["cols"] * 28)
            assert [run["count"] for run in runs if run["view"] < 0] == [1, 1]


def test_maps_lie_on_the_grid_of_the_regions():
    (row,) = score(rows_of([("half", 1200, 900)]))
    (found,), views = row["relevances"], row["plans"][0]["views"]
    assert (found["rows"], found["cols"]) == (2, 3)
    assert [(view["row"], view["col"]) for view in views] == [(r, c) for r in range(2) for c in range(3)]
    assert found["combined"] == [view["relevance"] for view in views]
    assert found["combined"] == [
        (p + s + 1) // 2 for p, s in zip(found["propositional"], found["perspectival"], strict=True)
    ]


def test_weights_choose_and_scale_of_weights_does_not_matter():
    table = rows_of([("half", 1200, 900), ("noise", 100, 100)])
    (entropy,) = score(table, propositional=0.2, perspectival=0)
    (edges,) = score(table, propositional=0, perspectival=0.7)
    for row, name in ((entropy, "propositional"), (edges, "perspectival")):
        assert all(found["combined"] == found[name] for found in row["relevances"])
    assert score(table, propositional=0.3, perspectival=0.6) == score(table, propositional=0.1, perspectival=0.2)


@pytest.mark.parametrize("weights", [(0, 0), (0.0004, 0.0001)])
def test_weights_that_round_to_nothing_are_refused(weights):
    with pytest.raises(ValidationError, match=r"0\.001"):
        ScoreConfig(propositional=weights[0], perspectival=weights[1])


images = st.tuples(st.sampled_from(["flat", "noise", "half"]), st.sampled_from(SIZES)).map(lambda i: (i[0], *i[1]))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(images, max_size=2), min_size=1, max_size=6), st.data())
def test_score_does_not_depend_on_the_batch(documents, data):
    together = score(rows_of(*documents))
    order = data.draw(st.permutations(range(len(documents))))
    shuffled = score(rows_of(*(documents[i] for i in order)))
    for place, i in enumerate(order):
        for name in ("plans", "runs", "relevances"):
            assert shuffled[place][name] == together[i][name]
    cut = data.draw(st.integers(0, len(documents)))
    table = rows_of(*documents)
    assert score(table.slice(0, cut)) + score(table.slice(cut)) == together


def test_batches_of_any_number_of_tiles_agree():
    documents = [[("half", 3000 + 7 * i, 2000)] for i in range(6)]
    together = score(rows_of(*documents))
    num_tiles = sum(len(row["plans"][0]["views"]) for row in together)
    assert num_tiles > 2 * BATCH_TILES
    assert num_tiles % BATCH_TILES
    table = rows_of(*documents)
    assert [row for i in range(6) for row in score(table.slice(i, 1))] == together


def test_without_a_budget_plans_are_kept_and_relevance_is_told():
    table = rows_of([("half", 1200, 900), ("flat", 100, 100)], budget=None)
    for was, row in zip(table.to_pylist(), score(table, budget=None), strict=True):
        assert row["runs"] == was["runs"]
        for old, plan in zip(was["plans"], row["plans"], strict=True):
            assert [view | {"relevance": None} for view in plan["views"]] == old["views"]
            assert [view["budget"] for view in plan["views"]] == [None]
    assert row["relevances"][0]["rows"] == row["relevances"][0]["cols"] == 1


def test_tiles_of_padding_alone_are_worth_nothing_and_keep_their_place():
    table = rows_of([("noise", 100, 1000), ("noise", 640, 480)], profile=NEXT, budget=None)
    (row,) = score(table, profile=NEXT, budget=None)
    empty = [
        v for plan in row["plans"] for v in plan["views"] if v["box"][0] >= v["box"][2] or v["box"][1] >= v["box"][3]
    ]
    assert all(view["relevance"] == 0 for view in empty)
    assert [view["relevance"] for view in row["plans"][1]["views"]] != [0] * 5
    for found, plan in zip(row["relevances"], row["plans"], strict=True):
        assert (found["rows"], found["cols"]) == (1, len(plan["views"]))


def test_view_whose_box_is_empty_is_worth_nothing():
    table = rows_of([("noise", 30, 1000)], profile=NEXT, budget=None).to_pylist()
    table[0]["plans"][0]["views"][1]["box"] = [30, 0, 30, 500]
    (row,) = score(pa.Table.from_pylist(table, TOKENIZED), profile=NEXT, budget=None)
    assert row["plans"][0]["views"][1]["relevance"] == 0
    assert row["plans"][0]["views"][0]["relevance"] > 200


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70000), st.integers(1, 70000))
def test_any_size_of_picture_is_scored(width, height):
    if max(width, height) > 200 * min(width, height):
        return
    (row,) = score(rows_of([("flat", width, height)]))
    assert {view["relevance"] for view in row["plans"][0]["views"]} == {0}


def test_rejected_and_withheld_rows_take_no_score_from_their_neighbours():
    table = rows_of([("flat", 640, 480)], [("noise", 640, 480)], [("half", 640, 480)])
    alone = [score(table.slice(i, 1))[0] for i in range(3)]
    rows = table.to_pylist()
    rows[0]["rejection"] = {
        "operator": "x",
        "reason": "x",
        "detail": "",
        "member": "",
        "offset": 0,
        "size": 0,
        "segment": 0,
    }
    rows[1]["withheld"] = True
    first, second, third = score(pa.Table.from_pylist(rows, TOKENIZED))
    assert third == alone[2]
    assert (first["relevances"], second["relevances"]) == ([], [])
    assert first["rejection"] == rows[0]["rejection"]


def test_number_of_threads_changes_nothing():
    table = rows_of([("half", 3000, 2000), ("noise", 700, 300)])
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(score(table))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_tile_is_the_part_of_the_small_picture_under_the_box():
    pixels = np.zeros((600, 768), np.uint8)
    pixels[:300, 384:] = coarse_noise(np.random.default_rng(0), 300, 384)
    table = rows_of([("flat", 1120, 875)]).to_pylist()
    table[0]["smalls"] = [{"data": pixels.tobytes(), "width": 768, "height": 600}]
    (row,) = score(pa.Table.from_pylist(table, TOKENIZED))
    worth = {(view["row"], view["col"]): view["relevance"] for view in row["plans"][0]["views"]}
    assert set(worth) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert worth[0, 1] > 200
    assert max(value for place, value in worth.items() if place != (0, 1)) <= 64

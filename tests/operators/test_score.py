"""Maps depend on their picture and on what it is asked alone; budgets follow from them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import ValidationError

from operators.apportion import Apportion
from operators.budget import BudgetConfig
from operators.decode import COARSE_PIXELS, FINE_PIXELS, shrink
from operators.profiles import load_profile
from operators.relevance.encoder import load_encoder, save_encoder
from operators.relevance.legibility import SCALES
from operators.score import BATCH_REGIONS, GROUP_REGIONS, Score
from operators.slice import Slice
from operators.slicing.regions import MAX_REGIONS
from operators.weights import ScoreConfig
from pipeline.errors import ConfigError
from pipeline.schema import DECODED, MEASURED, TOKENIZED

QWEN, NEXT = load_profile("qwen2_5_vl"), load_profile("llava_next")
BUDGET = BudgetConfig(spread="even")
LEGIBLE = BudgetConfig()
SIZES = [(1200, 900), (100, 100), (700, 300), (37, 2000), (640, 480)]
PARTS = {"flat": 0, "half": 0.5, "noise": 1}
"""Share of a picture that is noise, from the left."""


def picture(kind, width, height):
    """White, with blocks of 6 pixels of noise on its left, so that resampling leaves them noise."""
    shades = np.full((height, width), 255, np.uint8)
    noisy = int(PARTS[kind] * width)
    blocks = np.random.default_rng(width).integers(0, 256, (height // 6 + 1, width // 6 + 1), np.uint8)
    shades[:, :noisy] = blocks.repeat(6, 0).repeat(6, 1)[:height, :noisy]
    return Image.fromarray(shades).convert("RGB")


def rows_of(*documents, profile=QWEN, budget=BUDGET, queries=None):
    """One TOKENIZED row per document, a document being pictures, or (kind, width, height) of them.

    queries: what all images of each document are asked; absent: where the noise is.
    """
    rows = []
    fine = FINE_PIXELS if budget is not None and budget.spread == "legible" else COARSE_PIXELS
    for ordinal, images in enumerate(documents):
        pictures = [picture(*image) if isinstance(image, tuple) else image for image in images]
        segments = [{"kind": 1, "text": None, "member": "m", "offset": 512, "size": 9} for _ in images]
        row = {"unit": 0, "shard": "0.tar", "shard_number": 0, "ordinal": ordinal, "key": str(ordinal)}
        row |= {
            "segments": segments,
            "dropped": [],
            "num_derived": 0,
            "withheld": False,
            "rejection": None,
            "shard_end": None,
        }
        row["pictures"] = [{"width": image.width, "height": image.height, "format": "png"} for image in pictures]
        rows.append(row | {"smalls": [shrink(image, image.size, fine) for image in pictures]})
    sliced = Slice(profile, MAX_REGIONS if budget else None)(pa.Table.from_pylist(rows, DECODED)).to_pylist()
    for number, row in enumerate(sliced):
        row["tokens"] = [[] for _ in row["segments"]]
        row["runs"] = [
            [{"id": 9, **{k: run[k] for k in ("modality", "view", "count")}} for run in layout]
            for layout in row["layouts"]
        ]
        text = "where is the dark square" if queries is None else queries[number]
        row["queries"] = [{"text": text, "origin": "user" if text else "none", "segments": []} for _ in row["plans"]]
    return pa.Table.from_pylist([{name: row.get(name) for name in TOKENIZED.names} for row in sliced], TOKENIZED)


def score(table, profile=QWEN, budget=BUDGET, **weights):
    slicing = profile.slicing if profile is QWEN else None
    scored = Score(ScoreConfig(**weights), budget, slicing, "cpu")(table)
    assert scored.schema == MEASURED
    return scored.to_pylist()


def tokens_of(row):
    return [view["tokens"] for plan in row["plans"] for view in plan["views"]]


def blocks_of(plan):
    """Tokens of each row and column of regions."""
    found = {}
    for view in plan["views"]:
        place = view["row"], view["col"]
        found[place] = found.get(place, 0) + view["tokens"]
    return found


def test_flat_picture_gets_the_floor_and_a_noisy_one_more():
    flat, noisy = score(rows_of([("flat", 1200, 900)], [("noise", 1200, 900)]), participatory=0)
    assert max(tokens_of(flat)) <= 64
    assert {view["relevance"] for view in flat["plans"][0]["views"]} == {0}
    assert {view["relevance"] for view in noisy["plans"][0]["views"]} <= set(range(240, 256))
    assert min(tokens_of(noisy)) > 144


def test_detail_goes_where_the_detail_is():
    (row,) = score(rows_of([("half", 1200, 900)]), budget=BudgetConfig(spread="even", max_image_tokens=100_000))
    views = row["plans"][0]["views"]
    columns = 1 + max(view["col"] for view in views)
    left = [view["tokens"] for view in views if view["col"] < columns // 2]
    right = [view["tokens"] for view in views if view["col"] > columns // 2]
    assert min(left) > 3 * max(right)
    assert max(right) <= 64


@pytest.mark.parametrize("budget", [BUDGET, LEGIBLE, BudgetConfig(rule="global", image_share=0.2)])
def test_views_and_runs_are_those_that_the_stored_maps_give(budget):
    table = rows_of([("half", 1200, 900), ("noise", 700, 300)], [("noise", 3000, 2000)], budget=budget)
    apportion = Apportion(ScoreConfig(), budget, QWEN.slicing)
    for old, row in zip(table.to_pylist(), score(table, budget=budget), strict=True):
        again = apportion(old["plans"], old["runs"], row["relevances"])
        stored = pa.Table.from_pylist([again], pa.schema([MEASURED.field(name) for name in again])).to_pylist()[0]
        assert {name: row[name] for name in again} == stored
        assert [[run["count"] for run in runs if run["view"] < 0] for runs in row["runs"]] == [[1, 1]] * len(
            row["runs"]
        )


def test_maps_lie_on_the_grid_of_the_regions():
    (row,) = score(rows_of([("half", 1200, 900)]))
    (found,), views = row["relevances"], row["plans"][0]["views"]
    assert (found["rows"], found["cols"]) == (2, 3)
    assert [(view["row"], view["col"]) for view in views] == [(r, c) for r in range(2) for c in range(3)]
    assert found["combined"] == [view["relevance"] for view in views]
    assert {len(found[way]) for way in ("propositional", "perspectival", "participatory")} == {6}


def test_legibility_is_stored_for_each_cell_where_views_are_cut_by_it():
    for budget in (LEGIBLE, BudgetConfig(rule="global", image_tokens=400)):
        (row,) = score(rows_of([("half", 640, 480)], budget=budget), budget=budget)
        codes = np.frombuffer(row["relevances"][0]["legibility"], np.uint8).reshape(len(SCALES), 17, 23)
        assert (np.diff(codes.astype(int), axis=0) >= 0).all()  # a smaller scale loses no less
        assert codes[-1, :, :11].min() > codes[-1, :, 13:].max()
    for budget in (BUDGET, None):
        (row,) = score(rows_of([("half", 640, 480)], budget=budget), budget=budget)
        assert row["relevances"][0]["legibility"] is None


@pytest.mark.parametrize("name", ["propositional", "perspectival", "participatory"])
def test_map_that_alone_has_weight_is_the_combined_one(name):
    weights = {way: 0.5 * (way == name) for way in ("propositional", "perspectival", "participatory")}
    for found in score(rows_of([("half", 1200, 900)]), **weights)[0]["relevances"]:
        assert found["combined"] == found[name]


def test_scale_of_weights_does_not_matter():
    table = rows_of([("half", 1200, 900), ("noise", 100, 100)])
    weights = {"propositional": 0.1, "perspectival": 0.2, "participatory": 0.3}
    assert score(table, **weights) == score(table, **{name: 2 * weight for name, weight in weights.items()})


@pytest.mark.parametrize("weights", [(0, 0, 0), (0.0004, 0.0001, 0.0)])
def test_weights_that_round_to_nothing_are_refused(weights):
    with pytest.raises(ValidationError, match=r"0\.001"):
        ScoreConfig(propositional=weights[0], perspectival=weights[1], participatory=weights[2])


def test_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        return
    with pytest.raises(ConfigError, match="set it to 0"):
        Score(ScoreConfig(), BUDGET, QWEN.slicing, "cuda")


# --- what is asked --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene():
    """Grass and a red box full of fine print under an empty sky, 3 x 3 regions of 20 x 20 tokens."""
    drawn = Image.new("RGB", (1680, 1680), (150, 200, 250))
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((0, 1120, 1679, 1679), (90, 170, 80))
    draw.rectangle((600, 600, 1079, 1079), (220, 30, 30))
    for y in range(610, 1060, 14):
        draw.text((610, y), "all the fine print upon a red box " * 3, (255, 255, 255))
    return drawn


def test_flat_sky_gets_the_floor_and_a_box_that_is_asked_for_256_tokens(scene):
    for budget in (BUDGET, LEGIBLE):
        (row,) = score(rows_of([scene], budget=budget, queries=["what is written on the red box"]), budget=budget)
        blocks = blocks_of(row["plans"][0])
        assert max(blocks[0, col] for col in range(3)) <= 64
        allowed = {(view["row"], view["col"]): view["budget"] for view in row["plans"][0]["views"]}
        assert allowed[1, 1] >= 256
        assert max(row["relevances"][0]["combined"]) == row["relevances"][0]["combined"][4]


def test_other_query_moves_the_participatory_map_and_what_follows_from_it_alone(scene):
    table = rows_of([scene], [scene], queries=["the red box", "green grass below"])
    (box,), (grass,) = (row["relevances"] for row in score(table))
    assert {name for name in box if box[name] != grass[name]} == {"participatory", "combined"}
    first, second = (row["plans"] for row in score(table, participatory=0))
    assert first == second


def test_query_that_counts_or_locates_is_told():
    table = rows_of(*[[("half", 640, 480)]] * 4, queries=["count the hats", "WHERE is it?", "nowhere, countless", ""])
    assert [row["relevances"][0]["query"]["is_seeking"] for row in score(table)] == [True, True, False, False]
    assert [row["relevances"][0]["query"]["origin"] for row in score(table)] == ["user"] * 3 + ["none"]


def test_nothing_participates_without_a_query_or_a_weight():
    (unasked,) = score(rows_of([("half", 1200, 900)], queries=[""]))
    (unweighed,) = score(rows_of([("half", 1200, 900)]), participatory=0)
    for row in (unasked, unweighed):
        (found,) = row["relevances"]
        assert found["participatory"] is None
        assert found["weights"] == [500, 500, 0]
        pairs = zip(found["propositional"], found["perspectival"], strict=True)
        assert found["combined"] == [(p + s + 1) // 2 for p, s in pairs]


def test_query_that_says_the_same_of_all_regions_has_no_say():
    (row,) = score(rows_of([("flat", 300, 300)]))
    assert row["relevances"][0]["participatory"] is None


# --- alone ----------------------------------------------------------------------------------------------------------


images = st.tuples(st.sampled_from(sorted(PARTS)), st.sampled_from(SIZES)).map(lambda i: (i[0], *i[1]))
asked = st.sampled_from(["", "the red box", "count the dark squares"])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.lists(images, max_size=2), asked), min_size=1, max_size=5), st.data())
def test_score_does_not_depend_on_the_batch(documents, data):
    def table_of(chosen):
        return rows_of(*(images for images, _ in chosen), queries=[query for _, query in chosen])

    together = score(table_of(documents))
    order = data.draw(st.permutations(range(len(documents))))
    shuffled = score(table_of([documents[i] for i in order]))
    for place, i in enumerate(order):
        for name in ("plans", "runs", "relevances"):
            assert shuffled[place][name] == together[i][name]
    cut = data.draw(st.integers(0, len(documents)))
    table = table_of(documents)
    assert score(table.slice(0, cut)) + score(table.slice(cut)) == together


def test_batches_of_any_number_of_regions_agree():
    documents = [[("half", 3000 + 7 * i, 2000)] for i in range(6)]
    together = score(rows_of(*documents))
    num_regions = sum(len(row["relevances"][0]["combined"]) for row in together)
    assert num_regions > 2 * BATCH_REGIONS
    assert num_regions % BATCH_REGIONS
    table = rows_of(*documents)
    assert [row for i in range(6) for row in score(table.slice(i, 1))] == together


def test_groups_that_are_cut_out_together_agree_with_images_alone():
    documents = [[("half", 640, 480)] * 4] * 72
    table = rows_of(*documents)
    found = score(table)
    assert sum(len(r["combined"]) for row in found for r in row["relevances"]) > GROUP_REGIONS
    (alone,) = score(table.slice(0, 1))
    assert all(row["relevances"] == alone["relevances"] and row["plans"] == alone["plans"] for row in found)


@pytest.mark.parametrize("budget", [BUDGET, LEGIBLE])
def test_number_of_threads_changes_nothing(budget):
    table = rows_of([("half", 1200, 900)], [("noise", 700, 300)], budget=budget)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(score(table, budget=budget))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_channel_entropy_replaces_that_of_luminance_alone():
    table = rows_of([("half", 1200, 900)])
    (shades,), (channels,) = (score(table, entropy=entropy)[0]["relevances"] for entropy in ("luminance", "channels"))
    changed = {name for name in shades if shades[name] != channels[name]}
    assert changed == {"propositional", "combined"}
    assert (min(channels["propositional"]), max(channels["propositional"])) == (0, 255)


# --- every kind of row ----------------------------------------------------------------------------------------------


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
    (row,) = score(table, profile=NEXT, budget=None, participatory=0)
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
    (row,) = score(pa.Table.from_pylist(table, TOKENIZED), profile=NEXT, budget=None, participatory=0)
    assert row["plans"][0]["views"][1]["relevance"] == 0
    assert row["plans"][0]["views"][0]["relevance"] > 200


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70000), st.integers(1, 70000))
def test_any_size_of_picture_is_scored(width, height):
    if max(width, height) > 200 * min(width, height):
        return
    table = rows_of([("flat", 10, 10)]).to_pylist()
    plan = Slice(QWEN, MAX_REGIONS)(
        pa.Table.from_pylist([table[0] | {"pictures": [{"width": width, "height": height, "format": "png"}]}], DECODED)
    ).to_pylist()[0]
    runs = [{"id": 9, **{k: run[k] for k in ("modality", "view", "count")}} for run in plan["layouts"][0]]
    (row,) = score(
        pa.Table.from_pylist([table[0] | {"plans": plan["plans"], "runs": [runs]}], TOKENIZED), participatory=0
    )
    assert {view["relevance"] for view in row["plans"][0]["views"]} == {0}


def test_rejected_and_withheld_rows_take_no_score_from_their_neighbours():
    table = rows_of([("flat", 640, 480)], [("noise", 640, 480)], [("half", 640, 480)])
    alone = [score(table.slice(i, 1))[0] for i in range(3)]
    rows = table.to_pylist()
    names = {"member": "", "offset": 0, "size": 0, "segment": 0, "rules": []}
    rows[0]["rejection"] = {"operator": "x", "reason": "x", "detail": ""} | names
    rows[1]["withheld"] = True
    first, second, third = score(pa.Table.from_pylist(rows, TOKENIZED))
    assert third == alone[2]
    assert (first["relevances"], second["relevances"]) == ([], [])
    assert first["rejection"] == rows[0]["rejection"]


def test_region_is_scored_by_the_pixels_under_its_box():
    shades = np.full((875, 1120), 255, np.uint8)
    shades[:430, 570:] = np.asarray(picture("noise", 550, 430).convert("L"))
    (row,) = score(rows_of([Image.fromarray(shades).convert("RGB")]), participatory=0)
    worth = {(view["row"], view["col"]): view["relevance"] for view in row["plans"][0]["views"]}
    assert set(worth) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert worth[0, 1] > 200
    assert max(value for place, value in worth.items() if place != (0, 1)) <= 64


def test_value_that_is_no_number_rejects_its_sample_and_no_other(tmp_path):
    encoder = load_encoder()
    with torch.no_grad():
        for weights in encoder.parameters():
            weights[weights != 0] = torch.finfo(torch.float16).max
    save_encoder(encoder, tmp_path / "e.safetensors")
    table = rows_of([("half", 600, 400)], [("half", 600, 400)], [("flat", 90, 90)], queries=["a dark square", "", ""])
    asked, *silent = score(table, encoder=str(tmp_path / "e.safetensors"))
    assert (asked["rejection"]["reason"], asked["rejection"]["operator"]) == ("score-nan", "score")
    assert (asked["rejection"]["member"], asked["rejection"]["offset"], asked["rejection"]["segment"]) == ("m", 512, 0)
    assert [row["rejection"] for row in silent] == [None, None]
    assert [row["relevances"][0]["participatory"] for row in silent] == [None, None]

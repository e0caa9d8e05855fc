"""Budgets and views come from stored maps and sizes alone: within every rule's tokens, and the same again."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.apportion import Apportion
from operators.budget import BudgetConfig, allocate, upgrade
from operators.profiles import load_profile
from operators.relevance.legibility import SCALES
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import plan_regions
from operators.weights import ScoreConfig

QWEN, NEXT = load_profile("qwen2_5_vl"), load_profile("llava_next")
SLICING = QWEN.slicing
FINE = QwenConfig(patch=16, merge=2, min_pixels=65536, max_pixels=16777216)
SCORING = ScoreConfig()
LOD = BudgetConfig()
SIZES = [(1200, 900), (100, 100), (700, 300), (37, 2000), (1920, 1080), (1281, 719)]
RULES = {
    "lod": {},
    "lod-even": {"spread": "even"},
    "query": {"rule": "query"},
    "tight": {"max_image_tokens": 400},
    "image_share": {"rule": "global", "image_share": 0.36},
    "image_share-even": {"rule": "global", "image_share": 0.36, "spread": "even"},
    "image_tokens": {"rule": "global", "image_tokens": 300},
    "sample_tokens": {"rule": "global", "sample_tokens": 900},
    "sample_tokens-even": {"rule": "global", "sample_tokens": 900, "spread": "even"},
}


def runs_of(layout):
    """Runs with the ids of placeholder, start and end."""
    ids = {"<|image_pad|>": 9, "<|vision_start|>": 1, "<|vision_end|>": 2}
    return [{"id": ids[r.token], "modality": int(r.modality), "view": r.view, "count": r.count} for r in layout]


def image(width, height, seed=0, *, spread="legible", slicing=SLICING, **changes):
    """(plan, runs, relevance) of a picture as `score` hands them over, with random maps; `changes` of the maps."""
    plan = plan_regions(width, height, slicing, QWEN.tokens.by_role())
    draw = np.random.default_rng(seed)
    maps = {way: draw.integers(0, 256, len(plan.views)).tolist() for way in ("propositional", "perspectival")}
    maps["participatory"] = draw.integers(0, 256, len(plan.views)).tolist()
    codes = draw.integers(0, 20, (len(SCALES), plan.grid_h, plan.grid_w), np.uint8).cumsum(axis=0, dtype=np.uint8)
    relevance = {
        "rows": 1 + plan.views[-1].row,
        "cols": 1 + plan.views[-1].col,
        "query": {"origin": "user", "segments": [0], "is_seeking": False},
        "legibility": codes.tobytes() if spread == "legible" else None,
    }
    return asdict(plan), runs_of(plan.layout), relevance | maps | changes


def apportion(images, scoring=SCORING, budget=LOD, slicing=SLICING):
    return Apportion(scoring, budget, slicing)(*map(list, zip(*images, strict=True)))


def tokens_of(plan):
    return sum(view["tokens"] for view in plan["views"])


def tiles_once(rectangles, width, height):
    """Whether (left, top, right, bottom) rectangles cover each place once, and each of them one at least."""
    covered = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in rectangles:
        assert left < right
        assert top < bottom
        covered[top:bottom, left:right] += 1
    return bool((covered == 1).all())


def check_views(plan, runs, slicing=SLICING):
    """Views tile the picture and its cells, have the size that their tokens say, and follow one another in the runs."""
    views = plan["views"]
    assert tiles_once([view["box"] for view in views], plan["width"], plan["height"])
    cells = [(left, top, right, bottom) for top, left, bottom, right in (view["cells"] for view in views)]
    assert tiles_once(cells, plan["grid_w"], plan["grid_h"])
    for view in views:
        top, left, bottom, right = view["cells"]
        assert 1 <= view["rows"] <= bottom - top
        assert 1 <= view["cols"] <= right - left
        assert view["tokens"] == view["rows"] * view["cols"]
        assert (view["height"], view["width"]) == (view["rows"] * slicing.factor, view["cols"] * slicing.factor)
    assert [(view["row"], view["col"]) for view in views] == sorted((view["row"], view["col"]) for view in views)
    assert [run["count"] for run in runs] == [1, *(view["tokens"] for view in views), 1]
    assert [run["view"] for run in runs] == [-1, *range(len(views)), -1]
    assert [run["id"] for run in runs] == [1, *[9] * len(views), 2]


def blocks_of(plan):
    """(tokens, budgets) of each row and column of regions."""
    found = {}
    for view in plan["views"]:
        tokens, budgets = found.get((view["row"], view["col"]), (0, set()))
        found[view["row"], view["col"]] = tokens + view["tokens"], budgets | {view["budget"]}
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
def test_views_tile_the_picture_and_its_cells_and_keep_their_budgets(rule, size):
    budget = BudgetConfig(**RULES[rule])
    found = apportion([image(*size, spread=budget.spread)], budget=budget)
    (plan,), (runs,) = found["plans"], found["runs"]
    check_views(plan, runs)
    for tokens, budgets in blocks_of(plan).values():
        assert len(budgets) == 1
        assert tokens <= min(budgets)
    assert tokens_of(plan) <= budget.max_image_tokens


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 1500),
    st.integers(1, 1500),
    st.sampled_from(sorted(RULES)),
    st.sampled_from([SLICING, FINE]),
    st.data(),
)
def test_picture_of_any_size_keeps_a_pixel_for_every_view(width, height, rule, slicing, data):
    if max(width, height) > 200 * min(width, height):
        return
    budget = BudgetConfig(**RULES[rule])
    seed = data.draw(st.integers(0, 99))
    found = apportion(
        [image(width, height, seed, spread=budget.spread, slicing=slicing)], budget=budget, slicing=slicing
    )
    check_views(found["plans"][0], found["runs"][0], slicing)
    assert tokens_of(found["plans"][0]) <= (budget.sample_tokens or budget.image_tokens or budget.max_image_tokens)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 9), (1, 150), (20, 20)])
def test_speck_that_is_enlarged_has_a_pixel_for_every_view(size):
    for share in (0.05, 0.2, 0.5, 0.9):
        budget = BudgetConfig(rule="global", image_share=share)
        for seed in range(5):
            found = apportion([image(*size, seed, slicing=FINE)], budget=budget, slicing=FINE)
            check_views(found["plans"][0], found["runs"][0], FINE)


@pytest.mark.parametrize("rule", ["lod", "lod-even", "query", "tight"])
def test_budgets_of_regions_are_those_of_the_rule(rule):
    budget = BudgetConfig(**RULES[rule])
    images = [image(1920, 1080, spread=budget.spread), image(700, 300, 1, spread=budget.spread)]
    images[1][2]["query"]["is_seeking"] = True
    found = apportion(images, budget=budget)
    for (before, _, _), plan, relevance in zip(images, found["plans"], found["relevances"], strict=True):
        native = [view["tokens"] for view in before["views"]]
        is_seeking = relevance["query"]["is_seeking"]
        expected = allocate(relevance["combined"], native, budget, is_seeking=is_seeking)
        blocks = blocks_of(plan)
        assert [budgets for _, budgets in blocks.values()] == [{tokens} for tokens in expected]
        told = {(view["row"], view["col"]): view["relevance"] for view in plan["views"]}
        assert [told[place] for place in blocks] == relevance["combined"]


def test_even_spread_gives_each_region_one_view_and_legible_spread_several():
    before = image(1920, 1080)
    legible, even = (apportion([image(1920, 1080, spread=spread)])["plans"][0] for spread in ("legible", "even"))
    regions = [(view["row"], view["col"], view["box"]) for view in before[0]["views"]]
    assert [(view["row"], view["col"], view["box"]) for view in even["views"]] == regions
    assert len(legible["views"]) > 2 * len(regions)
    assert {place: budgets for place, (_, budgets) in blocks_of(legible).items()} == {
        place: budgets for place, (_, budgets) in blocks_of(even).items()
    }


def test_region_that_has_no_more_than_its_budget_is_kept_whole():
    found = apportion([image(560, 560, combined=None, propositional=[255], perspectival=[255], participatory=[255])])
    (view,) = found["plans"][0]["views"]
    assert (view["rows"], view["cols"], view["budget"], view["relevance"]) == (20, 20, 400, 255)
    assert view["box"] == (0, 0, 560, 560)


def test_flat_region_gets_the_floor_and_one_that_stands_out_all():
    flat = {way: [0] * 6 for way in ("propositional", "perspectival", "participatory")}
    plan = apportion([image(1680, 1120, **flat)])["plans"][0]
    assert all(tokens <= 64 for tokens, _ in blocks_of(plan).values())
    one = {way: [0, 0, 0, 0, 255, 0] for way in flat}
    plan = apportion([image(1680, 1120, **one)])["plans"][0]
    assert {place: tokens for place, (tokens, _) in blocks_of(plan).items() if tokens > 64} == {(1, 1): 400}


def test_all_images_of_a_sample_share_its_tokens():
    images = [image(1120, 1120), image(1680, 560, 1)]
    images[0][2].update({way: [0] * 4 for way in ("propositional", "perspectival", "participatory")})
    images[1][2].update({way: [255] * 3 for way in ("propositional", "perspectival", "participatory")})
    budget = BudgetConfig(rule="global", sample_tokens=1000)
    dull, striking = apportion(images, budget=budget)["plans"]
    assert 900 <= tokens_of(dull) + tokens_of(striking) <= 1000
    cells = [plan["grid_h"] * plan["grid_w"] for plan in (dull, striking)]
    assert tokens_of(striking) / cells[1] > tokens_of(dull) / cells[0]
    even = [(plan, runs, relevance | {"legibility": None}) for plan, runs, relevance in images]
    budget = BudgetConfig(rule="global", sample_tokens=1000, spread="even")
    dull, striking = apportion(even, budget=budget)["plans"]
    expected = upgrade([0] * 4 + [255] * 3, [400] * 7, 1000, budget)
    assert [view["budget"] for plan in (dull, striking) for view in plan["views"]] == expected


def test_share_of_an_image_counts_its_own_tokens():
    for share in (0.1, 0.36, 0.72):
        budget = BudgetConfig(rule="global", image_share=share)
        (plan,) = apportion([image(1120, 840)], budget=budget)["plans"]
        assert 0.9 * share * 1200 <= tokens_of(plan) <= share * 1200


def test_image_within_its_tokens_is_kept_whole():
    before = image(560, 840)
    for fields in ({"image_tokens": 600}, {"sample_tokens": 600}, {"image_share": 1.0}):
        (plan,) = apportion([before], budget=BudgetConfig(rule="global", **fields))["plans"]
        assert [view["tokens"] for view in plan["views"]] == [view["tokens"] for view in before[0]["views"]]
    (plan,) = apportion([before], budget=BudgetConfig(rule="global", image_tokens=599))["plans"]
    assert tokens_of(plan) <= 599


def test_tokens_of_an_image_do_not_hang_on_the_sample_it_is_in_unless_they_are_shared():
    one, other = image(1200, 900), image(700, 300, 1)
    for rule in ("lod", "query", "image_share", "image_tokens"):
        budget = BudgetConfig(**RULES[rule])
        together = apportion([one, other], budget=budget)
        assert (
            together["plans"] == apportion([one], budget=budget)["plans"] + apportion([other], budget=budget)["plans"]
        )


@pytest.mark.parametrize("then", RULES)
@pytest.mark.parametrize("first", ["lod", "image_share"])
def test_what_another_budget_made_of_an_image_leaves_no_trace(first, then):
    before, after = BudgetConfig(**RULES[first]), BudgetConfig(**RULES[then])
    images = [image(1200, 900), image(700, 300, 1)]
    fresh = apportion(images, ScoreConfig(propositional=0.9), after)
    old = apportion(images, SCORING, before)
    stored = list(zip(old["plans"], old["runs"], old["relevances"], strict=True))
    assert apportion(stored, ScoreConfig(propositional=0.9), after) == fresh


def test_other_participatory_map_moves_that_map_and_what_follows_from_it_alone():
    one = image(1200, 900)
    other = (*one[:2], one[2] | {"participatory": one[2]["participatory"][::-1]})
    before, after = (apportion([found])["relevances"][0] for found in (one, other))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"participatory", "combined"}
    deaf = ScoreConfig(participatory=0)
    before, after = (apportion([found], deaf) for found in (one, other))
    assert before["plans"] == after["plans"]


def test_map_that_has_nothing_to_say_has_no_weight():
    found = image(1200, 900, participatory=None)
    (relevance,) = apportion([found])["relevances"]
    assert relevance["weights"] == [500, 500, 0]
    expected = [(p + s + 1) // 2 for p, s in zip(relevance["propositional"], relevance["perspectival"], strict=True)]
    assert relevance["combined"] == expected


def test_balance_is_the_jobs_to_choose():
    one = {"propositional": [200] * 6, "perspectival": [0, 0, 0, 0, 0, 255], "participatory": None}
    for balance, weights in (("fixed", [500, 500, 0]), ("opponent", [82, 918, 0])):
        (relevance,) = apportion([image(1680, 1120, **one)], ScoreConfig(balance=balance))["relevances"]
        assert relevance["weights"] == weights


@pytest.mark.parametrize(("budget", "slicing"), [(None, SLICING), (LOD, None), (None, None)])
def test_without_a_budget_views_are_kept_and_told_their_relevance(budget, slicing):
    plan, runs, relevance = image(1200, 900)
    found = Apportion(SCORING, budget, slicing)([plan], [runs], [relevance])
    assert found["runs"] == [runs]
    (combined,) = (kept["combined"] for kept in found["relevances"])
    assert found["plans"][0]["views"] == [
        view | {"relevance": value} for view, value in zip(plan["views"], combined, strict=True)
    ]


def test_sample_without_images_has_nothing_to_share():
    for rule in RULES.values():
        found = Apportion(SCORING, BudgetConfig(**rule), SLICING)([], [], [])
        assert found == {"plans": [], "runs": [], "relevances": []}

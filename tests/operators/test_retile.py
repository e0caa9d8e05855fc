"""Relevance decides how many tiles a picture has: one where it is flat, all where it is full, within every total."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import SAMPLES

from operators.budget import BudgetConfig
from operators.profiles import load_profile, profile_names
from operators.retile import Retile
from operators.slicing import Tiled
from operators.tokenizers.opening import open_tokenizer
from pipeline.errors import InputError
from pipeline.types import Modality, Place

MODEL = (SAMPLES[0].parent / "tokenizer.model").read_bytes()
PROFILES = {name: load_profile(name) for name in profile_names()}
TILED = sorted(name for name, profile in PROFILES.items() if isinstance(profile.slicing, Tiled))
ROOMY = BudgetConfig(max_image_tokens=20000)
FLAT, FULL = 0, 255
RULES = {
    "lod": {},
    "query": {"rule": "query"},
    "tight": {"max_image_tokens": 500},
    "image_tokens": {"rule": "global", "image_tokens": 900},
    "image_share": {"rule": "global", "image_share": 0.5},
}


def own_plan(name, size, place=Place()):  # noqa: B008 - frozen
    profile = PROFILES[name]
    return profile.slicing.plan(*size, profile.tokens.by_role(), place)


def retile(name, images, budget=ROOMY, *, is_seeking=False):
    """PLAN and RUN rows. images: ((width, height), relevance of each view or of all of them)."""
    profile = PROFILES[name]
    tokenizer = open_tokenizer(MODEL, profile.tokens.literals(), "m", profile.tokenizer_pattern, profile.reserved_ids)
    plans, relevances = [], []
    for number, (size, values) in enumerate(images):
        views = own_plan(name, size, Place(number, len(images))).views
        plans.append({"width": size[0], "height": size[1]})
        combined = [values] * len(views) if isinstance(values, int) else values
        relevances.append({"combined": combined, "query": {"is_seeking": is_seeking}})
    return Retile(profile.slicing, profile.tokens.by_role(), tokenizer, budget)(plans, relevances)


def num_tiles(plan):
    return sum(view["kind"] == "tile" for view in plan["views"])


def placeholders(runs):
    """Ids that features, or newline embeddings, stand for."""
    visual = {run["id"] for run in runs if run["view"] >= 0}
    return sum(run["count"] for run in runs if run["id"] in visual)


@pytest.mark.parametrize("name", TILED)
def test_full_picture_keeps_the_plan_of_its_family(name):
    own = own_plan(name, (1600, 1200))
    (plan,), (runs,) = retile(name, [((1600, 1200), FULL)])
    assert (plan["grid_h"], plan["grid_w"], plan["scheme"]) == (own.grid_h, own.grid_w, own.scheme)
    assert [view["box"] for view in plan["views"]] == [view.box for view in own.views]
    assert placeholders(runs) == own.placeholders
    assert {view["relevance"] for view in plan["views"]} == {FULL}


@pytest.mark.parametrize("name", TILED)
def test_flat_picture_has_a_sixth_of_its_tiles(name):
    own = own_plan(name, (1600, 1200))
    count = sum(view.kind == "tile" for view in own.views)
    (plan,), (runs,) = retile(name, [((1600, 1200), FLAT)])
    fewest = 2 if name.startswith("llava_next") else 1  # its smallest canvas
    assert num_tiles(plan) <= max(fewest, -(-count * 64 // 400)) < count
    assert placeholders(runs) < own.placeholders
    assert {view["relevance"] for view in plan["views"]} == {FLAT}


def test_the_view_of_the_whole_does_not_count():
    own = own_plan("internvl", (1344, 896))
    values = [FULL if view.kind == "whole" else FLAT for view in own.views]
    (plan,), _ = retile("internvl", [((1344, 896), values)])
    assert [(view["kind"], view["relevance"]) for view in plan["views"]] == [("whole", FULL)]


def test_count_of_tiles_is_the_sum_of_their_tokens_over_the_most():
    size = (1600, 800)  # 8 tiles of 4x2
    values = [FULL] * 3 + [FLAT] * 5 + [FLAT]
    (plan,), _ = retile("internvl", [(size, values)])
    assert len(own_plan("internvl", size).views) == len(values)
    assert num_tiles(plan) == 2  # 3 * 400 + 5 * 64 tokens are worth 4 tiles, of which 2x1 is nearest 2:1


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None)
@given(st.integers(20, 3000), st.integers(20, 3000), st.integers(1, 2), st.randoms(use_true_random=False))
def test_pictures_of_any_size_stay_within_every_rule(name, rule, width, height, count, random):
    budget = BudgetConfig(**RULES[rule])
    try:
        own = [own_plan(name, (width, height), Place(number, count)) for number in range(count)]
    except InputError:
        return
    images = [((width, height), [random.randint(0, 255) for _ in plan.views]) for plan in own]
    plans, laid = retile(name, images, budget)
    for plan, runs, before, (_, values) in zip(plans, laid, own, images, strict=True):
        tokens = [sum(run["count"] for run in runs if run["view"] == k) for k in range(len(plan["views"]))]
        assert [view["tokens"] for view in plan["views"]] == tokens
        assert [view["budget"] for view in plan["views"]] == tokens
        assert {view["relevance"] for view in plan["views"]} <= set(values)
        assert {run["modality"] for run in runs if run["view"] < 0} <= {Modality.MARKER}
        most = budget.image_limit(before.placeholders)
        if placeholders(runs) > most:  # then no plan is smaller
            smallest = retile(name, [(image[0], FLAT) for image in images], BudgetConfig(max_image_tokens=400))[1]
            assert placeholders(runs) == min(map(placeholders, smallest))
        assert placeholders(runs) <= before.placeholders


def test_tiles_of_a_sample_share_its_total_and_the_relevant_picture_has_more():
    images = [((1344, 896), 20), ((1344, 896), 250), ((1344, 896), 20)]
    found = []
    for total in (700, 1500, 2500, 4000, 10000):
        plans, laid = retile("internvl", images, BudgetConfig(rule="global", sample_tokens=total))
        counts = [placeholders(runs) for runs in laid]
        assert sum(counts) <= max(total, 3 * 256)
        assert counts[1] >= max(counts)
        found.append(sum(counts))
        assert len(plans) == 3
    assert all(a < b for a, b in pairwise(found))
    assert found[-1] == 3 * 7 * 256


def test_relevance_of_a_tile_is_of_the_own_tile_that_holds_its_centre():
    own = own_plan("smolvlm2", (2000, 1000))
    values = [view.row * 10 + view.col + 50 if view.kind == "tile" else 99 for view in own.views]
    half = BudgetConfig(rule="global", image_share=0.5)
    (plan,), _ = retile("smolvlm2", [((2000, 1000), values)], half)
    assert len(own.views) == 9
    found = [(view["kind"], view["relevance"]) for view in plan["views"]]
    assert found == [("tile", 61), ("tile", 63), ("whole", 99)]  # 4x2 became 2x1; borders belong to what is behind


def test_picture_among_several_is_planned_as_its_family_does():
    plans, laid = retile("llava_onevision", [((1600, 1200), FULL)] * 2)
    assert [[view["kind"] for view in plan["views"]] for plan in plans] == [["whole"]] * 2
    assert [placeholders(runs) for runs in laid] == [730] * 2
    (alone,), _ = retile("phi3_5_v", [((1600, 1200), FULL)])
    several, _ = retile("phi3_5_v", [((1600, 1200), FULL)] * 2)
    assert [num_tiles(plan) for plan in (alone, *several)] == [12, 4, 4]


def test_number_of_a_picture_in_its_document_stays_in_its_marks():
    _, laid = retile("minicpm_v", [((1600, 1200), FLAT)] * 2)
    assert laid[0] != laid[1]
    assert [run for run in laid[0] if run["view"] >= 0] == [run for run in laid[1] if run["view"] >= 0]


def test_picture_too_thin_for_one_tile_has_the_fewest_that_it_can():
    (plan,), _ = retile("phi3_5_v", [((4000, 8), FLAT)])
    with pytest.raises(InputError):
        PROFILES["phi3_5_v"].slicing.at_most(1).plan(4000, 8, PROFILES["phi3_5_v"].tokens.by_role(), Place())
    assert num_tiles(plan) == 3

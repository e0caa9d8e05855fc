"""Tokens by the three rules: goldens, strict thresholds, floors and native sizes, and caps that hold."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.budget import LEVELS, BudgetConfig, allocate, lod, query_budget, tiles_worth, upgrade

DEFAULT = BudgetConfig()
QUERY = BudgetConfig(rule="query")
SHARED = BudgetConfig(rule="global", image_tokens=2304)
HUGE = 10**6

configs = st.tuples(
    st.sampled_from(["lod", "query"]), st.integers(1, 500), st.integers(0, 500), st.integers(36, 5000)
).map(
    lambda t: BudgetConfig(rule=t[0], min_tokens=t[1], max_tokens=t[1] + t[2], max_image_tokens=max(t[3], t[1] + t[2]))
)
natives = st.integers(1, 400)


@st.composite
def images(draw):
    """A config, relevance and native tokens of as many regions as an image has at most, and whether it is sought in."""
    count = draw(st.integers(1, 36))
    relevance = draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
    native = draw(st.lists(natives, min_size=count, max_size=count))
    return draw(configs), relevance, native, draw(st.booleans())


@pytest.mark.parametrize(
    ("relevance", "tokens"),
    [(0, 64), (0.3, 64), (0.31, 144), (0.5, 144), (0.51, 256), (0.8, 256), (0.81, 400), (1, 400)],
)
def test_thresholds_equal_the_golden_line(relevance, tokens):
    assert lod(int(relevance * 255), DEFAULT) == tokens
    assert allocate([int(relevance * 255)], [HUGE], DEFAULT) == [tokens]


def test_thresholds_are_strict_at_every_8_bit_value():
    for value in range(256):
        assert lod(value, DEFAULT) == LEVELS[sum(10 * value > tenths * 255 for tenths in (3, 5, 8))]
    assert [lod(value, DEFAULT) for value in (76, 77, 127, 128, 204, 205)] == [64, 144, 144, 256, 256, 400]


def test_thresholds_are_the_jobs_to_choose():
    config = BudgetConfig(thresholds=(0.2, 0.2, 1))
    assert [lod(value, config) for value in (0, 51, 52, 255)] == [64, 64, 256, 256]
    assert lod(0, BudgetConfig(thresholds=(0, 0, 0))) == 64
    assert lod(1, BudgetConfig(thresholds=(0, 0, 0))) == 400


def test_worked_example_of_nine_regions_takes_1184_tokens():
    relevance = [20, 30, 40, 50, 60, 70, 100, 180, 230]
    budgets = allocate(relevance, [400] * 9, DEFAULT)
    assert sum(budgets) == 1184
    assert 1 - sum(budgets) / (9 * 256) == pytest.approx(0.4861, abs=1e-4)


@pytest.mark.parametrize(("is_seeking", "tokens"), [(False, [100, 144, 187]), (True, [151, 216, 280])])
def test_query_budget_equals_the_golden_line(is_seeking, tokens):
    relevance = [26, 128, 230]  # .1, .5, .9
    assert [query_budget(value, is_seeking=is_seeking) for value in relevance] == tokens
    assert allocate(relevance, [HUGE] * 3, QUERY, is_seeking=is_seeking) == tokens


def test_query_budget_turns_strictly_below_3_tenths_and_above_8():
    assert [query_budget(value, is_seeking=False) for value in (76, 77, 204, 205)] == [100, 144, 144, 187]


def test_seeking_counts_for_nothing_by_the_lod_rule():
    assert allocate([26, 128, 230], [HUGE] * 3, DEFAULT, is_seeking=True) == [64, 256, 400]


def test_floor_and_ceiling_bind():
    config = BudgetConfig(min_tokens=100, max_tokens=200)
    assert allocate([0, 100, 255], [HUGE] * 3, config) == [100, 144, 200]
    assert allocate([0], [HUGE], BudgetConfig(min_tokens=16)) == [64]
    assert allocate([255], [HUGE], BudgetConfig(min_tokens=4, max_tokens=9)) == [9]


def test_no_region_gets_more_than_its_native_tokens():
    assert allocate([255, 0, 255], [7, 30, 399], DEFAULT) == [7, 30, 399]


def test_cap_takes_the_least_relevant_first_and_of_equals_the_last():
    config = BudgetConfig(max_image_tokens=1000)
    assert allocate([255, 255, 255], [400] * 3, config) == [400, 400, 144]
    assert allocate([210, 255, 230], [400] * 3, config) == [144, 400, 400]
    assert allocate([255, 255], [400] * 2, config) == [400, 400]
    assert allocate([255, 255, 255], [400] * 3, BudgetConfig(max_image_tokens=1200)) == [400, 400, 400]
    assert allocate([255, 255, 255], [400] * 3, BudgetConfig(max_image_tokens=1199)) == [400, 400, 256]


def test_cap_takes_a_region_from_the_query_budget_down_to_the_next_level():
    config = BudgetConfig(rule="query", max_image_tokens=400)
    assert allocate([200, 100, 255], [400] * 3, config) == [144, 64, 187]


def test_cap_holds_where_the_floor_is_below_the_lowest_level():
    config = BudgetConfig(min_tokens=16, max_image_tokens=2304)
    budgets = allocate([0] * 48, [400] * 48, config)
    assert sum(budgets) <= 2304
    assert budgets == [64] * 32 + [16] * 16
    tight = BudgetConfig(min_tokens=16, max_tokens=32, max_image_tokens=64)
    assert allocate([255] * 4, [400] * 4, tight) == [16] * 4


def test_floors_give_way_where_they_would_not_fit_into_the_cap():
    config = BudgetConfig(max_tokens=400, max_image_tokens=1000)
    assert config.floor(15) == 64
    assert config.floor(36) == 27
    assert allocate([0] * 36, [400] * 36, config) == [27] * 36
    assert BudgetConfig(min_tokens=1, max_tokens=1, max_image_tokens=36).floor(100) == 1


@settings(max_examples=200, deadline=None)
@given(images())
def test_cap_floor_ceiling_and_native_hold_always(image):
    config, relevance, native, is_seeking = image
    budgets = allocate(relevance, native, config, is_seeking=is_seeking)
    assert len(budgets) == len(relevance)
    assert sum(budgets) <= config.max_image_tokens
    for budget, own in zip(budgets, native, strict=True):
        assert min(own, config.floor(len(native))) <= budget <= min(own, config.max_tokens)


@settings(max_examples=200, deadline=None)
@given(images())
def test_more_relevance_never_means_a_smaller_budget_of_equal_regions(image):
    config, relevance, _, is_seeking = image
    budgets = allocate(relevance, [HUGE] * len(relevance), config, is_seeking=is_seeking)
    ranked = sorted(zip(relevance, budgets, strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(ranked) if a[0] < b[0])


# --- one total ------------------------------------------------------------------------------------------------------


def greedy(relevance, native, total, config):
    """What `upgrade` promises, by looking at every region again for each step."""
    floor = min(config.min_tokens, max(1, total // len(relevance)))
    budgets = [min(size, floor) for size in native]
    while True:
        best = None
        for i, (worth, size) in enumerate(zip(relevance, native, strict=True)):
            above = [level for level in LEVELS if level > max(floor, budgets[i]) and level <= config.max_tokens]
            wanted = min(size, above[0]) if above else budgets[i]
            cost = wanted - budgets[i]
            if not 0 < cost <= total - sum(budgets):
                continue
            gain = (worth + 1) * (math.sqrt(wanted) - math.sqrt(budgets[i])) / cost
            if best is None or gain > best[0]:
                best = gain, i, wanted
        if best is None:
            return budgets
        budgets[best[1]] = best[2]


regions = st.lists(st.tuples(st.integers(0, 255), natives), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(regions, st.integers(36, 4000), st.integers(1, 400), st.integers(0, 300))
def test_upgrade_is_the_greedy_choice_within_the_total(found, total, least, more):
    config = BudgetConfig(rule="global", image_tokens=36, min_tokens=least, max_tokens=least + more)
    relevance, native = zip(*found, strict=True)
    budgets = upgrade(relevance, native, total, config)
    assert budgets == greedy(relevance, native, total, config)
    assert sum(budgets) <= total
    floor = min(least, total // len(found))
    assert all(min(own, floor) <= budget <= own for budget, own in zip(budgets, native, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=20), st.integers(36, 4000), natives)
def test_upgrade_gives_more_relevance_no_less(relevance, total, native):
    budgets = upgrade(relevance, [native] * len(relevance), total, SHARED)
    ranked = sorted(zip(relevance, budgets, strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(ranked) if a[0] < b[0])


def test_upgrade_starts_at_the_floor_and_stops_at_the_total():
    assert upgrade([255] * 3, [400] * 3, 3 * 64 + 79, SHARED) == [64, 64, 64]
    assert upgrade([255] * 3, [400] * 3, 3 * 64 + 80, SHARED) == [144, 64, 64]
    assert upgrade([0, 0, 255], [400] * 3, 64 + 64 + 400, SHARED) == [64, 64, 400]
    assert upgrade([9, 9], [400] * 2, 10_000, SHARED) == [400, 400]
    assert upgrade([9, 9, 9], [400, 8, 400], 100, SHARED) == [33, 8, 33]


@pytest.mark.parametrize(
    "fields",
    [
        {"min_tokens": 401},
        {"max_tokens": 2305},
        {"min_tokens": 0},
        {"max_image_tokens": 35, "max_tokens": 35, "min_tokens": 1},
        {"rule": "other"},
        {"tokens": 5},
        {"thresholds": (0.5, 0.3, 0.8)},
        {"thresholds": (0.3, 0.5, 1.1)},
        {"thresholds": (-0.1, 0.5, 0.8)},
        {"thresholds": (0.3, 0.5)},
        {"rule": "global"},
        {"rule": "global", "image_share": 0},
        {"rule": "global", "image_share": 1.1},
        {"rule": "global", "image_tokens": 35},
        {"rule": "global", "image_tokens": 36, "sample_tokens": 36},
        {"rule": "lod", "image_share": 0.5},
        {"spread": "thin"},
    ],
)
def test_config_refuses_what_cannot_hold(fields):
    with pytest.raises(ValidationError):
        BudgetConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rule": "global"}, "none of them given; one is needed for rule global"),
        ({"image_share": 0.5, "image_tokens": 99}, "image_tokens and image_share given; they are for rule global"),
        ({"thresholds": (0.9, 0.5, 0.8)}, "three rising numbers of 0 to 1 expected"),
    ],
)
def test_config_says_what_it_found_and_expected(fields, said):
    with pytest.raises(ValidationError, match=said):
        BudgetConfig(**fields)


@pytest.mark.parametrize(
    ("relevance", "config", "is_seeking", "tiles"),
    [
        ([], DEFAULT, False, 1),
        ([0] * 6, DEFAULT, False, 1),
        ([0] * 7, DEFAULT, False, 2),
        ([255] * 12, DEFAULT, False, 12),
        ([255] * 12, BudgetConfig(max_image_tokens=400), False, 12),
        ([140] * 12, DEFAULT, False, 8),
        ([140] * 12, BudgetConfig(max_tokens=256), False, 12),
        ([0] * 12, BudgetConfig(min_tokens=200), False, 6),
        ([140] * 10, QUERY, False, 4),
        ([140] * 10, QUERY, True, 6),
    ],
)
def test_tiles_are_worth_what_regions_are(relevance, config, is_seeking, tiles):
    assert tiles_worth(relevance, config, is_seeking=is_seeking) == tiles

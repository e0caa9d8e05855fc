"""The level-of-detail rule: strict thresholds, a floor, a ceiling, native size, and a cap that holds."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.budget import LEVELS, BudgetConfig, allocate, level

DEFAULT = BudgetConfig()
HUGE = 10**6

configs = st.tuples(st.integers(1, 500), st.integers(0, 500), st.integers(0, 5000)).map(
    lambda t: BudgetConfig(min_tokens=t[0], max_tokens=t[0] + t[1], max_image_tokens=t[0] + t[1] + t[2])
)


@st.composite
def images(draw):
    """A config, and the relevance and native tokens of as many regions as it allows at most."""
    config = draw(configs)
    count = draw(st.integers(1, min(60, config.max_regions)))
    relevance = draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
    native = draw(st.lists(st.integers(1, 400), min_size=count, max_size=count))
    return config, relevance, native


@pytest.mark.parametrize(
    ("relevance", "tokens"),
    [(0, 64), (0.3, 64), (0.31, 144), (0.5, 144), (0.51, 256), (0.8, 256), (0.81, 400), (1, 400)],
)
def test_thresholds_equal_the_golden_line(relevance, tokens):
    assert LEVELS[level(int(relevance * 255))] == tokens
    assert allocate([int(relevance * 255)], [HUGE], DEFAULT) == [tokens]


def test_thresholds_are_strict_at_every_8_bit_value():
    for value in range(256):
        assert level(value) == sum(10 * value > tenths * 255 for tenths in (3, 5, 8))
    assert [level(value) for value in (76, 77, 127, 128, 204, 205)] == [0, 1, 1, 2, 2, 3]


def test_worked_example_of_nine_regions_takes_1184_tokens():
    relevance = [20, 30, 40, 50, 60, 70, 100, 180, 230]
    budgets = allocate(relevance, [400] * 9, DEFAULT)
    assert sum(budgets) == 1184
    assert 1 - sum(budgets) / (9 * 256) == pytest.approx(0.4861, abs=1e-4)


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


def test_cap_holds_where_the_floor_is_below_the_lowest_level():
    config = BudgetConfig(min_tokens=16, max_image_tokens=2304)
    budgets = allocate([0] * 48, [400] * 48, config)
    assert sum(budgets) <= 2304
    assert budgets == [64] * 32 + [16] * 16
    tight = BudgetConfig(min_tokens=16, max_tokens=32, max_image_tokens=64)
    assert allocate([255] * 4, [400] * 4, tight) == [16] * 4


@settings(max_examples=200, deadline=None)
@given(images())
def test_cap_floor_ceiling_and_native_hold_always(image):
    config, relevance, native = image
    budgets = allocate(relevance, native, config)
    assert len(budgets) == len(relevance)
    assert sum(budgets) <= config.max_image_tokens
    for budget, own in zip(budgets, native, strict=True):
        assert min(own, config.min_tokens) <= budget <= min(own, config.max_tokens)


@settings(max_examples=200, deadline=None)
@given(images())
def test_more_relevance_never_means_a_smaller_budget_of_equal_regions(image):
    config, relevance, _ = image
    budgets = allocate(relevance, [HUGE] * len(relevance), config)
    ranked = sorted(zip(relevance, budgets, strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(ranked) if a[0] < b[0])


def test_most_regions_is_what_the_cap_gives_their_floor():
    assert DEFAULT.max_regions == 36
    assert BudgetConfig(min_tokens=400, max_image_tokens=400).max_regions == 1


@pytest.mark.parametrize(
    "fields", [{"min_tokens": 401}, {"max_tokens": 2305}, {"min_tokens": 0}, {"rule": "other"}, {"tokens": 5}]
)
def test_config_refuses_what_cannot_hold(fields):
    with pytest.raises(ValidationError):
        BudgetConfig(**fields)

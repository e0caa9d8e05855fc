"""`dyrate`: a schedule over the answer that never goes back, and masks that follow the ranking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.reduction.dyrate import DyRate
from operators.reduction.plan import ImageTokens, Reduction
from operators.reduction.rank import Rank


def scored(scores):
    return ImageTokens(((1, len(scores)),), ("whole",), ((0, 0),), scores=np.asarray(scores, np.int64))


def test_the_rates_of_the_default_leave_three_quarters_half_and_a_quarter():
    assert DyRate().plan(scored(np.arange(576))).decay == ((32, 432), (64, 288), (128, 144))


def test_the_k_th_rate_of_ten_leaves_out_k_minus_one_tenths():
    method = DyRate(rates=10, schedule=[[1, 2], [5, 7], [9, 10]])
    assert method.plan(scored(np.arange(100))).decay == ((1, 90), (5, 40), (9, 10))


def test_it_ranks_by_scores():
    assert DyRate().plan(scored([3, 8, 8, 1])).order.tolist() == [1, 2, 0, 3]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_schedules_never_rise_and_what_a_later_token_sees_an_earlier_one_saw(data):
    rates = data.draw(st.integers(1, 12))
    numbers = sorted(data.draw(st.sets(st.integers(1, rates), min_size=1)))
    places = sorted(data.draw(st.sets(st.integers(1, 999), min_size=len(numbers), max_size=len(numbers))))
    method = DyRate(rates=rates, schedule=list(zip(places, numbers, strict=True)))
    total = data.draw(st.integers(0, 40))
    plan = method.plan(scored(np.zeros(total)))
    seen = [total, *(tokens for _, tokens in plan.decay)]
    assert seen == sorted(seen, reverse=True)
    assert min(seen) >= min(total, 1)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"schedule": [[5, 2], [5, 3]]}, "must both ascend"),
        ({"schedule": [[5, 3], [9, 2]]}, "must both ascend"),
        ({"schedule": [[5, 5]]}, "rate 5 of 4"),
        ({"schedule": []}, "at least 1"),
        ({"rates": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_say_why(given, why):
    with pytest.raises(ValidationError, match=why):
        DyRate(**given)


def test_behind_a_ranking_for_layers_that_order_stays():
    layers = Reduction(("other",), 4, order=np.array([3, 2, 1, 0]), schedule=((2, 2),))
    both = layers.then(DyRate().plan(scored([9, 8, 7, 6])))
    assert both.order.tolist() == [3, 2, 1, 0]
    assert both.schedule == ((2, 2),)
    assert both.decay == ((32, 3), (64, 2), (128, 1))
    assert Rank().plan(scored([9, 8, 7, 6])).then(DyRate().plan(scored([9, 8, 7, 6]))).methods == ("rank", "dyrate")

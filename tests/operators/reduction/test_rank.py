"""`rank`: one ranking serves all layers, by the schedules of FastV and PyramidDrop, ours, or one of the job's."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from operators.reduction.flops import tokens_by_layer
from operators.reduction.plan import ImageTokens
from operators.reduction.rank import Rank


def scored(scores):
    return ImageTokens(((1, len(scores)),), ("whole",), ((0, 0),), scores=np.asarray(scores, np.int64))


@pytest.mark.parametrize(
    ("schedule", "counts"),
    [
        ("progressive", [576] * 7 + [256] * 9 + [144] * 8 + [64] * 8),
        ("pyramid", [576] * 8 + [288] * 8 + [144] * 8 + [72] * 8),
        ("fastv", [576] * 2 + [288] * 30),
    ],
)
def test_576_tokens_are_left_at_the_counts_of_each_paper(schedule, counts):
    plan = Rank(schedule=schedule).plan(scored(np.arange(576)))
    assert tokens_by_layer(plan, 32) == counts


def test_the_means_over_32_layers_are_250_and_270():
    means = [
        sum(tokens_by_layer(Rank(schedule=schedule).plan(scored(np.zeros(576))), 32)) / 32
        for schedule in ("progressive", "pyramid")
    ]
    assert means == [250, 270]


def test_the_order_is_by_scores_and_of_equals_the_first_comes_first():
    assert Rank().plan(scored([5, -2, 9, 5, 9])).order.tolist() == [2, 4, 0, 3, 1]


def test_a_schedule_of_the_job_takes_tokens_and_shares():
    plan = Rank(schedule=[[3, 0.29], [5, 20], [9, 1]]).plan(scored(np.arange(100)))
    assert plan.schedule == ((3, 29), (5, 20), (9, 1))  # int(100 * 0.29) of floats would be 28


def test_steps_that_leave_no_fewer_are_none():
    assert Rank(schedule=[[3, 50], [5, 1.0]]).plan(scored(np.arange(20))).schedule == ()


def test_progressive_leaves_other_numbers_of_tokens_in_proportion():
    assert Rank(schedule="progressive").plan(scored(np.arange(1000))).schedule == ((7, 444), (16, 250), (24, 111))


def test_a_model_with_fewer_layers_takes_fastv_where_the_job_says():
    plan = Rank(schedule="fastv", layer=3, drop=0.75).plan(scored(np.arange(576)))
    assert plan.schedule == ((3, 144),)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"schedule": []}, "one layer at least"),
        ({"schedule": [[5, 10], [5, 4]]}, "must ascend"),
        ({"schedule": [[5, 10], [7, 40]]}, "asks for more"),
        ({"schedule": [[5, 0]]}, "greater than 0"),
        ({"schedule": [[-1, 5]]}, "greater than or equal to 0"),
        ({"layers": [8, 16]}, "in pairs"),
        ({"layers": [16, 8], "ratios": [0.5, 0.25]}, "must ascend"),
        ({"ratios": [0.5, 0.5, 0.1]}, "smaller"),
        ({"schedule": "pyramid", "drop": 0.75}, "setting of schedule fastv"),
        ({"schedule": "progressive", "layers": [4, 8, 16]}, "setting of schedule pyramid"),
        ({"schedule": "fast"}, "schedule"),
    ],
)
def test_settings_that_make_no_sense_say_why(settings, why):
    with pytest.raises(ValidationError, match=why):
        Rank(**settings)


def test_a_method_written_out_with_all_its_settings_reads_back_as_itself():
    for method in (Rank(schedule="progressive"), Rank(schedule=[[2, 0.5], [4, 7]])):
        assert Rank(**method.model_dump()) == method
        assert Rank.model_validate_json(method.model_dump_json()) == method


SCHEDULES = st.one_of(
    st.sampled_from(["pyramid", "fastv", "progressive"]),
    st.dictionaries(st.integers(0, 31), st.floats(0.01, 1), min_size=1, max_size=5).map(
        lambda steps: tuple(zip(sorted(steps), sorted(steps.values(), reverse=True), strict=True))
    ),
)


@settings(max_examples=40, deadline=None)
@given(arrays(np.int64, st.integers(0, 60), elements=st.integers(-5, 5)), SCHEDULES)
def test_keep_sets_are_nested_and_schedules_never_rise(scores, schedule):
    plan = Rank(schedule=schedule).plan(scored(scores))
    assert sorted(plan.order.tolist()) == list(range(len(scores)))
    counts = tokens_by_layer(plan, 32)
    kept = [set(plan.order[:count].tolist()) for count in counts]
    assert all(later <= own for own, later in pairwise(kept))
    assert min(counts) >= min(len(scores), 1)
    for own in kept:  # none that left is better than one that stays
        left = set(range(len(scores))) - own
        assert max(scores[list(left)], default=-99) <= min(scores[list(own)], default=99)

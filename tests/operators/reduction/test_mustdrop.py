"""`mustdrop`: the dual filter, the key set that always survives it, and which tokens may stay in the cache."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.reduction.mustdrop import MustDrop, cache_indices, key_tokens, survivors
from operators.reduction.plan import ImageTokens


def image(scores, salience):
    return ImageTokens(
        ((1, len(scores)),), ("whole",), ((0, 0),), scores=np.asarray(scores), salience=np.asarray(salience)
    )


@pytest.mark.parametrize(("tokens", "keys"), [(576, 47), (496, 40), (256, 21), (64, 6)])
def test_the_key_set_has_47_40_21_and_6_tokens(tokens, keys):
    assert key_tokens(np.arange(tokens)).sum() == keys
    assert key_tokens(np.arange(tokens))[-keys:].all()


def test_thresholds_are_the_authors():
    found = {tokens: MustDrop(tokens=tokens).thresholds for tokens in (192, 128, 64)}
    assert found == {192: (0.001, 0.001), 128: (0.0012, 0.001), 64: (0.011, 0.01)}
    assert MustDrop(tokens=64, global_threshold=0).thresholds == (0, 0.01)
    assert MustDrop(individual_threshold=1).thresholds == (0.001, 1)


def test_a_token_leaves_only_below_both_thresholds():
    attention = np.array(
        [
            [10, 50, 0, 10],
            [10, 0, 0, 10],
            [10, 0, 0, 900],
        ]
    )
    # sums 30, 50, 0, 920 of 1,000; greatest 10, 50, 0, 900
    assert survivors(attention, 1000, 0.04, 0.02).tolist() == [False, True, False, True]
    assert survivors(attention, 1000, 0.03, 0.02).tolist() == [True, True, False, True]  # 30 is not below 30
    assert survivors(attention, 1000, 0.06, 0.05).tolist() == [False, True, False, True]  # nor 50 below 50
    assert survivors(attention, 1000, 0.06, 0.06).tolist() == [False, False, False, True]
    key = np.array([False, False, True, False])
    assert survivors(attention, 1000, 0.06, 0.06, key).tolist() == [False, False, True, True]


def test_the_plan_keeps_key_tokens_first_and_drops_the_rest_of_the_ignored():
    scores = np.zeros(100, np.int64)
    scores[[10, 40]] = [500, 500]
    salience = np.zeros(100, np.int64)
    salience[80:88] = 5
    plan = MustDrop().plan(image(scores, salience))
    assert plan.schedule == ((2, 10),)
    assert plan.order[:10].tolist() == [*range(80, 88), 10, 40]
    assert plan.decay is None


def test_tokens_that_all_answer_alike_all_stay():
    assert MustDrop().plan(image(np.full(64, 3), np.arange(64))).schedule == ()
    assert MustDrop().plan(image(np.zeros(64, np.int64), np.arange(64))).schedule == ()


def test_higher_thresholds_keep_fewer():
    scores = np.arange(576) ** 2
    left = [MustDrop(tokens=tokens).plan(image(scores, scores)).schedule[0][1] for tokens in (192, 128, 64)]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 47  # none has a hundredth of the sum: the key set is what is left


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 50).flatmap(
        lambda n: st.tuples(*[arrays(np.int64, n, elements=st.integers(-3, 1000)) for _ in range(2)])
    ),
    st.floats(0, 0.2),
    st.floats(0, 0.2),
)
def test_key_tokens_always_survive_and_a_second_filter_drops_nothing(values, first, second):
    scores, salience = values
    plan = MustDrop(global_threshold=first, individual_threshold=second).plan(image(scores, salience))
    assert sorted(plan.order.tolist()) == list(range(len(scores)))
    left = plan.schedule[0][1] if plan.schedule else len(scores)
    kept = plan.order[:left]
    assert set(np.flatnonzero(key_tokens(salience)).tolist()) <= set(kept.tolist())
    row = np.maximum(scores, 0)[kept][None]
    keys = key_tokens(salience)[kept]
    assert survivors(row, int(row.sum()), first, second, keys).all()


def test_composed_indices_point_at_the_tokens_that_the_last_layer_keeps():
    kept = [np.array([0, 2, 3, 5, 7]), np.array([1, 2, 4]), np.array([0, 2])]
    found = cache_indices(kept)
    assert [one.tolist() for one in found] == [[2, 7], [1, 4], [0, 2]]
    assert cache_indices([]) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.2, 1), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_every_cache_holds_the_same_tokens(shares, random):
    names = np.arange(30)
    kept, seen = [], []
    for share in shares:
        seen.append(names)
        own = np.array(sorted(random.sample(range(len(names)), max(1, int(len(names) * share)))))
        kept.append(own)
        names = names[own]
    assert all(layer[own].tolist() == names.tolist() for layer, own in zip(seen, cache_indices(kept), strict=True))

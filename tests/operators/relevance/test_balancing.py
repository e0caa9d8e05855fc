"""Weights add up, a map without a say has none, and under opponent balance the map that singles out a region wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.relevance.balancing import weigh
from operators.weights import WEIGHT_STEPS, ScoreConfig

DEFAULT = ScoreConfig().steps()


@st.composite
def maps(draw):
    """Three maps of one image, of which at least one has something to say."""
    count = draw(st.integers(1, 12))
    one = st.lists(st.integers(0, 255), min_size=count, max_size=count)
    return draw(st.lists(st.none() | one, min_size=3, max_size=3).filter(any))


steps = st.lists(st.integers(0, 1000), min_size=3, max_size=3)


@given(maps(), steps, st.booleans())
def test_weights_add_up_and_the_map_is_their_mean(found, weights, opponent):
    shares, combined = weigh(found, weights, opponent=opponent)
    assert sum(shares) == WEIGHT_STEPS
    assert all(share >= 0 and (own is not None or not share) for share, own in zip(shares, found, strict=True))
    for i, value in enumerate(combined):
        mean = sum(share * own[i] for share, own in zip(shares, found, strict=True) if own) / WEIGHT_STEPS
        assert abs(value - mean) <= 0.5
        assert 0 <= value <= 255


@given(maps(), steps.filter(any), st.integers(2, 9))
def test_fixed_weights_are_divided_by_the_sum_of_those_that_speak(found, weights, times):
    shares, combined = weigh(found, weights, opponent=False)
    assert (shares, combined) == weigh(found, [times * weight for weight in weights], opponent=False)
    spoken = [weight for weight, own in zip(weights, found, strict=True) if own]
    if any(spoken):
        expected = [
            WEIGHT_STEPS * weight / sum(spoken) if own else 0 for weight, own in zip(weights, found, strict=True)
        ]
        assert all(abs(share - wanted) < 3 for share, wanted in zip(shares, expected, strict=True))


def test_default_weights_are_these():
    one = [10, 20, 30]
    assert weigh([one, one, one], DEFAULT, opponent=False) == ([330, 330, 340], one)
    assert weigh([one, one, None], DEFAULT, opponent=False)[0] == [500, 500, 0]
    assert weigh([None, one, None], DEFAULT, opponent=True)[0] == [0, 1000, 0]


def test_maps_without_weight_count_alike_where_no_other_speaks():
    assert weigh([[0], [100], None], (0, 0, 1000), opponent=False) == ([500, 500, 0], [50])
    assert weigh([[9], [9], [9]], (0, 0, 0), opponent=False)[0] == [334, 333, 333]


def test_combined_map_rounds_half_up():
    assert weigh([[0, 2], [1, 3], None], (500, 500, 0), opponent=False)[1] == [1, 3]


def test_map_that_singles_out_a_region_counts_more_by_opponent_balance():
    flat, single = [200] * 6, [0, 0, 0, 0, 0, 255]
    shares, combined = weigh([flat, single, None], DEFAULT, opponent=True)
    # The mean of the single region is 42: it stands 213 above it, its rival 0.
    assert shares == [1000 * 42 // (42 + 468), 1000 - 1000 * 42 // (42 + 468), 0]
    assert combined[-1] == max(combined)
    assert weigh([flat, single, None], DEFAULT, opponent=False)[0] == [500, 500, 0]


def test_map_is_set_against_the_mean_of_the_others():
    maps = [[100, 100], [0, 100], [100, 200]]  # standing 0, 50, 50
    shares, _ = weigh(maps, (1, 1, 1), opponent=True)
    # 255 + 0 - 50, 255 + 50 - 25 and again, of 765; the first of the greatest takes what rounding left.
    assert shares == [267, 367, 366]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=9), steps.filter(any))
def test_equal_maps_are_weighed_alike_by_either_balance(one, weights):
    assert weigh([one] * 3, weights, opponent=True) == weigh([one] * 3, weights, opponent=False)


@pytest.mark.parametrize("opponent", [False, True])
def test_order_of_the_regions_does_not_change_the_weights(opponent):
    found = [[1, 2, 250], [90, 80, 70], [0, 5, 0]]
    turned = [own[::-1] for own in found]
    shares, combined = weigh(found, DEFAULT, opponent=opponent)
    assert weigh(turned, DEFAULT, opponent=opponent) == (shares, combined[::-1])

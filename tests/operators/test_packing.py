"""Bins never exceed a limit, hold every item once, and depend on the multiset of sizes alone."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.packing import bound, lengths, pack_array, pack_items, small
from operators.packing.bins import Bins
from operators.packing.dealing import deal
from operators.packing.exchanging import exchange
from operators.packing.lengths import best_fit, fill_to_average, pack_lengths
from operators.packing.relieving import relieve
from operators.packing.replacing import replace
from operators.packing.several import pack_several
from operators.packing.small import best_fit_decreasing, fill_bin_by_bin

UNLIMITED = 1 << 62


@st.composite
def problems(draw, max_items=60):
    """One to five dimensions, with limits that bind, nearly bind, or do not exist."""
    dimensions = draw(st.integers(1, 5))
    limits = (
        draw(st.integers(1, 60)),
        *(draw(st.sampled_from([1, 3, 9, 40, 10**6, UNLIMITED])) for _ in range(dimensions - 1)),
    )
    sizes = st.tuples(st.integers(0, limits[0]), *(st.integers(0, min(limit, 9)) for limit in limits[1:]))
    return draw(st.lists(sizes, max_size=max_items)), limits


def totals(bins, items, dimension):
    return [sum(items[i][dimension] for i in members) for members in bins]


def contents(bins, items):
    """The sizes in each bin, in the order of the bins, whatever the items' indices."""
    return [sorted(tuple(items[i]) for i in members) for members in bins]


def bins_of(number):
    return [np.flatnonzero(number == k).tolist() for k in range(int(number.max(initial=-1)) + 1)]


def falling(items):
    return np.array(sorted(items, reverse=True), np.int64)


def assert_exact(bins, items, limits):
    assert sorted(i for members in bins for i in members) == list(range(len(items)))
    assert all(bins)
    for dimension, limit in enumerate(limits):
        assert all(total <= limit for total in totals(bins, items, dimension))


def plain_best_fit(items, limits):
    """best_fit_decreasing without any search structure: every open bin is looked at."""
    left, bins = [], []
    for i, item in enumerate(items):
        fitting = [
            (room[0], number)
            for number, room in enumerate(left)
            if room[0] > 0 and all(size <= free for size, free in zip(item, room, strict=True))
        ]
        if fitting:
            number = min(fitting)[1]
        else:
            number = len(bins)
            bins.append([])
            left.append(limits)
        bins[number].append(i)
        left[number] = tuple(free - size for size, free in zip(item, left[number], strict=True))
    return bins


def documents(num_items, longest, seed=3):
    """Tokens and patches of made documents: log-normal lengths, from none to nine tenths of them visual."""
    random = np.random.default_rng(seed)
    tokens = np.clip(random.lognormal(6.8, 0.9, num_items), 100, longest).astype(np.int64)
    patches = (tokens * random.uniform(0, 0.9, num_items) * 4).astype(np.int64)
    return np.stack([tokens, patches], axis=1)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_no_limit_is_exceeded_and_nothing_is_lost_or_doubled(problem):
    items, limits = problem
    bins = pack_items(items, limits)
    assert_exact(bins, items, limits)
    assert bins == [sorted(members) for members in bins]
    assert len(bins) >= bound(items, limits)


@settings(max_examples=100, deadline=None)
@given(problems())
def test_each_way_is_exact_by_itself(problem):
    items, limits = problem
    if not items:
        return
    sizes = falling(items)
    rows = sizes.tolist()
    for way in (pack_several, best_fit_decreasing, fill_bin_by_bin):
        assert_exact(bins_of(way(sizes, limits)), rows, limits)
    for number in pack_lengths(sizes[:, 0], limits[0]):
        assert_exact(bins_of(number), rows, limits[:1])
    for number in (best_fit(sizes[:, 0], limits[0]), fill_to_average(sizes[:, 0], limits[0])):
        assert_exact(bins_of(lengths._numbers(number, sizes[:, 0])), rows, limits[:1])


@settings(max_examples=200, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_permuted_items_give_bins_of_the_same_sizes_in_the_same_order(problem, random):
    items, limits = problem
    permuted = random.sample(items, len(items))
    assert contents(pack_items(items, limits), items) == contents(pack_items(permuted, limits), permuted)


def test_permuted_items_give_bins_of_the_same_sizes_where_the_slow_ways_are_not_tried():
    for items, limits in ((documents(6000, 4096)[:, :1], (4096,)), (documents(4000, 4096), (4096, 7000))):
        fitting = items[(items <= np.array(limits)).all(1)]
        permuted = np.random.default_rng(1).permutation(fitting)
        found, again = pack_items(fitting, limits), pack_items(permuted, limits)
        assert contents(found, fitting.tolist()) == contents(again, permuted.tolist())


@settings(max_examples=100, deadline=None)
@given(problems())
def test_of_equal_items_the_earlier_lies_in_the_earlier_step(problem):
    """Equal input, equal result; and an array of the items is the same input as a list of them."""
    items, limits = problem
    bins = pack_items(items, limits)
    assert pack_items(list(items), limits) == bins
    order, starts = pack_array(np.array(items, np.int64).reshape(len(items), len(limits)), limits)
    assert [order[a:b].tolist() for a, b in pairwise(starts)] == bins


@settings(max_examples=100, deadline=None)
@given(problems())
def test_the_emptiest_bin_is_the_last(problem):
    items, limits = problem
    filled = totals(pack_items(items, limits), items, 0)
    assert not filled or filled[-1] == min(filled)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=150))
def test_with_tokens_alone_there_are_never_more_bins_than_best_fit_decreasing_makes(values):
    items = [(value,) for value in sorted(values, reverse=True)]
    best = len(plain_best_fit(items, (50,)))
    assert len(pack_items(items, (50,))) <= best
    assert len(bins_of(pack_lengths(np.array(items)[:, 0], 50)[0])) == best


@settings(max_examples=100, deadline=None)
@given(problems())
def test_counts_of_lengths_give_the_very_bins_of_best_fit_decreasing(problem):
    items = falling([(item[0],) for item in problem[0] if item[0]] or [(1,)])
    limits = problem[1][:1]
    found = bins_of(lengths._numbers(best_fit(items[:, 0], limits[0]), items[:, 0]))
    rows = items.tolist()
    plain = plain_best_fit(rows, limits)
    assert Counter(totals(found, rows, 0)) == Counter(totals(plain, rows, 0))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_small_problems_need_no_more_bins_than_either_slow_way(problem):
    items, limits = problem
    if not items:
        return
    scarcity = sorted(range(len(limits)), key=lambda d: (-sum(item[d] for item in items) / limits[d], d))
    binding = [d for d in scarcity if sum(item[d] for item in items) > limits[d]] or scarcity[:1]
    sizes = falling([tuple(item[d] for d in scarcity) for item in items])[:, : len(binding)]
    chosen = tuple(limits[d] for d in binding)
    num_bins = len(pack_items(items, limits))
    assert all(num_bins <= int(way(sizes, chosen).max()) + 1 for way in (best_fit_decreasing, fill_bin_by_bin))


@pytest.mark.parametrize("block", [1, 2, 5, 128])
@settings(max_examples=60, deadline=None)
@given(problems())
def test_search_in_blocks_finds_the_bin_that_looking_at_all_finds(block, problem):
    before = small.BLOCK
    small.BLOCK = block
    try:
        sizes = np.array(sorted(problem[0], reverse=True), np.int64).reshape(-1, len(problem[1]))
        assert bins_of(best_fit_decreasing(sizes, problem[1])) == plain_best_fit(sizes.tolist(), problem[1])
    finally:
        small.BLOCK = before


def test_each_limit_binds():
    items = [(2, 1, 4, 3, 5)] * 12
    free = (100, 100, 100, 100, 100)
    for dimension, limit, num_bins in ((0, 8, 3), (1, 2, 6), (2, 12, 4), (3, 10, 4), (4, 7, 12)):
        limits = tuple(limit if d == dimension else free[d] for d in range(5))
        assert len(pack_items(items, limits)) == num_bins
        without = tuple(UNLIMITED if d == dimension else free[d] for d in range(5))
        assert len(pack_items(items, without)) == 1


def test_squares_of_lengths_are_a_limit_like_any_other():
    tokens = documents(2000, 4096)[:, 0]
    items = np.stack([tokens, tokens**2], axis=1)
    limits = (16384, 4096**2 + 1)
    bins = pack_items(items, limits)
    assert_exact(bins, items.tolist(), limits)
    assert bound(items[:, :1], limits[:1]) < bound(items, limits)
    assert len(bins) <= 1.01 * bound(items, limits)


def test_longest_item_goes_into_the_fullest_bin_that_holds_it():
    assert bins_of(best_fit_decreasing(falling([(6,), (5,), (5,), (4,)]), (10,))) == [[0, 3], [1, 2]]
    assert bins_of(best_fit_decreasing(falling([(6, 1), (5, 0), (4, 1), (3, 0)]), (10, 1))) == [[0, 3], [1, 2]]


def test_subset_sums_fill_bins_that_greed_leaves_open():
    items = falling([(6,), (5,), (5,), (4,), (4,), (3,), (3,)])
    assert totals(bins_of(fill_bin_by_bin(items, (10,))), items, 0) == [10, 10, 10]


def test_slack_of_many_bins_is_gathered_in_the_last():
    items = [(((i * 7919) % 37) + 1,) for i in range(600)]
    filled = totals(pack_items(items, (100,)), items, 0)
    assert filled[:-1] == [100] * (len(filled) - 1)
    assert len(filled) == bound(items, (100,))


@pytest.mark.parametrize("num_items", [3000, 9000])
def test_many_items_under_a_binding_image_limit_are_packed_to_the_bound(num_items):
    items = [(1 + i % 700, i % 3, (i % 3) * 100) for i in range(num_items)]
    limits = (8192, 4, UNLIMITED)
    assert len(pack_items(items, limits)) <= 1.001 * bound(items, limits)


def test_many_lengths_fill_as_good_as_all_bins():
    items = documents(200_000, 16384)[:, :1]
    assert len(pack_items(items, (16384,))) <= 1.0001 * bound(items, (16384,))


def test_short_items_of_nearly_one_length_fill_bins_that_best_fit_leaves_open():
    items = np.random.default_rng(5).integers(139, 160, (50_000, 1))
    sizes = np.sort(items, axis=0)[::-1]
    best = int(lengths._numbers(best_fit(sizes[:, 0], 4096), sizes[:, 0]).max()) + 1
    num_bins = len(pack_items(items, (4096,)))
    assert bound(items, (4096,)) + 3 >= num_bins < best


@pytest.mark.parametrize(("capacity", "over"), [(8192, 1.005), (16384, 1.0025), (65536, 1.0025)])
def test_two_limits_that_bind_alike_are_met_within_half_or_a_quarter_of_a_percent_of_the_bound(capacity, over):
    items = documents(20_000, 4096)
    limits = (capacity, int(capacity * items[:, 1].sum() / items[:, 0].sum()))
    both = [bound(items[:, [d]], limits[d : d + 1]) for d in (0, 1)]
    assert max(both) <= 1.01 * min(both)
    bins = pack_items(items, limits)
    assert_exact(bins, items.tolist(), limits)
    assert len(bins) <= over * bound(items, limits)


def test_a_limit_that_binds_in_some_bins_alone_costs_less_than_a_percent():
    items = documents(5000, 4096)
    images = np.random.default_rng(2).geometric(0.3, len(items))
    items = np.stack([items[:, 0], images], axis=1)
    limits = (16384, 50)
    bins = pack_items(items, limits)
    assert_exact(bins, items.tolist(), limits)
    assert len(bins) <= 1.01 * bound(items, limits)


def test_dealt_items_exceed_limits_by_little_though_each_dimension_goes_its_own_way():
    items = falling(documents(20_000, 4096).tolist())
    limits = (16384, int(16384 * items[:, 1].sum() / items[:, 0].sum()))
    num_bins = bound(items, limits)
    number = deal(items, limits, num_bins)
    loads = np.stack([np.bincount(number, items[:, d]) for d in (0, 1)], axis=1)
    assert sorted(np.unique(number)) == list(range(num_bins))
    assert np.maximum(loads / limits - 1, 0).sum() < 0.02 * num_bins


def test_a_few_long_items_among_many_short_ones_take_memory_in_proportion_to_the_items():
    items = falling([(1000, 1000)] * 500 + [(1, 1)] * 50_000)
    number = deal(items, (1000, 1000), 550)
    state = Bins(items, (1000, 1000), number, 550)
    assert state.slots.size < 10 * len(items)
    assert (state.number() == number).all()
    assert_exact(pack_items(items, (1000, 1000)), items.tolist(), (1000, 1000))


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 2**32))
def test_exchanges_and_replacements_lose_nothing_and_know_what_each_bin_holds(problem, seed):
    items, limits = problem
    if len(items) < 2:
        return
    sizes = falling(items)
    num_bins = 1 + seed % (len(items) // 2)
    state = Bins(sizes, limits, deal(sizes, limits, num_bins), num_bins)
    for work in (exchange_all, replace, relieve, exchange_all, replace):
        excess = np.maximum(state.loads - state.limits, 0).astype(float) / state.limits
        if work is not relieve or len(state.over()):
            work(state)
        number = state.number()
        loads = [np.bincount(number, sizes[:, d], state.num_bins) for d in range(len(limits))]
        assert (np.stack(loads, axis=1) == state.loads).all()
        after = np.maximum(state.loads - state.limits, 0).astype(float) / state.limits
        assert work is relieve or (after**2).sum() <= (excess**2).sum() + 1e-5


def exchange_all(state):
    order = state.shuffled(state.num_bins)
    half = state.num_bins // 2
    exchange(state, order[:half], order[::-1][:half])


@pytest.mark.parametrize("item", [(11, 0), (1, 3), (-1, 0)])
def test_item_over_a_limit_is_an_error(item):
    with pytest.raises(ValueError, match="item 1 of sizes"):
        pack_items([(1, 0), item], (10, 2))


def test_nothing_needs_no_bin():
    assert pack_items([], (10, 5)) == []
    assert bound([], (10, 5)) == 0
    order, starts = pack_array(np.zeros((0, 2), np.int64), (10, 5))
    assert (order.tolist(), starts.tolist()) == ([], [0])

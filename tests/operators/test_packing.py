"""Bins never exceed a limit, hold every item once, and depend on the items alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import packing
from operators.packing import best_fit_decreasing, bound, fill_bin_by_bin, pack_items

UNLIMITED = 1 << 62
WAYS = [pack_items, best_fit_decreasing, fill_bin_by_bin]


@st.composite
def problems(draw, max_items=60):
    limits = (
        draw(st.integers(1, 60)),
        draw(st.sampled_from([1, 3, UNLIMITED])),
        draw(st.sampled_from([9, 40, UNLIMITED])),
    )
    sizes = st.tuples(st.integers(0, limits[0]), st.integers(0, min(limits[1], 3)), st.integers(0, 9))
    return draw(st.lists(sizes, max_size=max_items)), limits


def totals(bins, items, dimension):
    return [sum(items[i][dimension] for i in members) for members in bins]


def first_fit_decreasing(items, limits):
    """The textbook's way, as a yardstick."""
    left = []
    for i in sorted(range(len(items)), key=lambda i: tuple(-size for size in items[i])):
        for room in left:
            if all(size <= free for size, free in zip(items[i], room, strict=True)):
                break
        else:
            room = list(limits)
            left.append(room)
        room[:] = [free - size for size, free in zip(items[i], room, strict=True)]
    return len(left)


def plain_best_fit(items, limits):
    """best_fit_decreasing without its search structure: every open bin is looked at."""
    left, bins = [], []
    for i in sorted(range(len(items)), key=lambda i: (*(-size for size in items[i]), i)):
        fitting = [
            (room[0], number)
            for number, room in enumerate(left)
            if room[0] > 0 and all(size <= free for size, free in zip(items[i], room, strict=True))
        ]
        if fitting:
            number = min(fitting)[1]
        else:
            number = len(bins)
            bins.append([])
            left.append(limits)
        bins[number].append(i)
        left[number] = tuple(free - size for size, free in zip(items[i], left[number], strict=True))
    return bins


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=120, deadline=None)
@given(problems())
def test_no_limit_is_exceeded_and_nothing_is_lost_or_doubled(way, problem):
    items, limits = problem
    bins = way(items, limits)
    assert sorted(i for members in bins for i in members) == list(range(len(items)))
    assert all(bins)
    for dimension, limit in enumerate(limits):
        assert all(total <= limit for total in totals(bins, items, dimension))


@settings(max_examples=120, deadline=None)
@given(problems())
def test_result_is_one_of_equals_and_ordered(problem):
    items, limits = problem
    bins = pack_items(items, limits)
    assert pack_items(list(items), tuple(limits)) == bins
    assert bins == [sorted(members) for members in bins]
    filled = totals(bins, items, 0)
    assert not filled or filled[-1] == min(filled)


@settings(max_examples=120, deadline=None)
@given(problems())
def test_never_fewer_bins_than_the_bound_and_never_more_than_either_way(problem):
    items, limits = problem
    num_bins = len(pack_items(items, limits))
    assert bound(items, limits) <= num_bins
    assert num_bins == min(len(way(items, limits)) for way in WAYS[1:])


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(1, 50), max_size=60))
def test_with_tokens_alone_it_is_no_worse_than_first_fit_decreasing_allows(lengths):
    items, limits = [(length,) for length in lengths], (50,)
    num_bins = len(pack_items(items, limits))
    assert num_bins <= 11 * first_fit_decreasing(items, limits) // 9 + 1
    assert num_bins <= 2 * bound(items, limits)


@settings(max_examples=120, deadline=None)
@given(problems())
def test_best_fit_never_leaves_two_bins_that_are_one(problem):
    items, limits = problem
    bins = best_fit_decreasing(items, limits)
    for a in range(len(bins)):
        for b in range(a):
            both = [*bins[a], *bins[b]]
            over = any(sum(items[i][d] for i in both) > limit for d, limit in enumerate(limits))
            is_full = (
                min(totals([bins[a], bins[b]], items, 0)) == 0 or max(totals([bins[a], bins[b]], items, 0)) == limits[0]
            )
            assert over or is_full


@pytest.mark.parametrize("block", [1, 2, 5, 128])
@settings(max_examples=60, deadline=None)
@given(problems())
def test_search_in_blocks_finds_the_bin_that_looking_at_all_finds(block, problem):
    before = packing.BLOCK
    packing.BLOCK = block
    try:
        assert best_fit_decreasing(*problem) == plain_best_fit(*problem)
    finally:
        packing.BLOCK = before


def test_each_limit_binds():
    items = [(2, 1, 4)] * 12
    assert len(pack_items(items, (8, UNLIMITED, UNLIMITED))) == 3
    assert len(pack_items(items, (100, 2, UNLIMITED))) == 6
    assert len(pack_items(items, (100, UNLIMITED, 12))) == 4
    assert [bound(items, limits) for limits in ((8, 100, 100), (100, 2, 100), (100, 100, 12))] == [3, 6, 4]


def test_longest_item_goes_into_the_fullest_bin_that_holds_it():
    items = [(6,), (5,), (4,), (5,)]
    assert sorted(best_fit_decreasing(items, (10,))) == [[0, 2], [1, 3]]
    assert best_fit_decreasing([(6, 1), (5, 0), (4, 1), (3, 0)], (10, 1)) == [[0, 3], [1, 2]]


def test_subset_sums_fill_bins_that_greed_leaves_open():
    items = [(6,), (5,), (5,), (4,), (4,), (3,), (3,)]
    assert totals(fill_bin_by_bin(items, (10,)), items, 0) == [10, 10, 10]


def test_slack_of_many_bins_is_gathered_in_the_last():
    items = [(((i * 7919) % 37) + 1,) for i in range(600)]
    filled = totals(pack_items(items, (100,)), items, 0)
    assert filled[:-1] == [100] * (len(filled) - 1)
    assert len(filled) == bound(items, (100,))


def test_many_items_under_a_binding_image_limit_are_packed_to_the_bound():
    items = [(1 + i % 700, i % 3, (i % 3) * 100) for i in range(3000)]
    limits = (8192, 4, UNLIMITED)
    assert len(pack_items(items, limits)) == bound(items, limits)


@pytest.mark.parametrize("item", [(11, 0), (1, 3)])
def test_item_over_a_limit_is_an_error(item):
    with pytest.raises(ValueError, match="item 1 of sizes"):
        pack_items([(1, 0), item], (10, 2))


def test_nothing_needs_no_bin():
    assert pack_items([], (10, 5)) == []
    assert bound([], (10, 5)) == 0

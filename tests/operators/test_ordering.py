"""Packs of equal vision load stand together, and blocks of them in no order."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.ordering import order_by_load

DRAW = random.Random(5)
LOADS = [DRAW.randrange(0, 40_000) for _ in range(1000)]


@given(st.lists(st.integers(0, 1000), max_size=300), st.integers(1, 64), st.text(max_size=5))
def test_every_pack_is_emitted_once_and_blocks_are_sorted(loads, block, seed):
    order = order_by_load(loads, block, seed)
    assert sorted(order) == list(range(len(loads)))
    blocks = [[loads[i] for i in order[start : start + block]] for start in range(0, len(order), block)]
    assert all(found == sorted(found, reverse=True) for found in blocks)
    spans = sorted((min(found), max(found)) for found in blocks)
    assert all(low[1] <= high[0] for low, high in pairwise(spans))


def test_ranks_that_take_neighbours_of_a_block_have_as_much_to_see():
    def imbalance(order):
        steps = [[LOADS[i] for i in order[start : start + 8]] for start in range(0, len(order), 8)]
        return max(max(step) / (sum(step) / len(step)) for step in steps if sum(step) > 8 * 4000)

    assert imbalance(order_by_load(LOADS, 64, "s")) < 1.05 < imbalance(range(len(LOADS)))


def test_load_does_not_go_with_place():
    order = order_by_load(LOADS, 64, "s")
    means = [sum(LOADS[i] for i in order[start : start + 64]) for start in range(0, 960, 64)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_order_is_that_of_the_seed_alone():
    assert order_by_load(LOADS, 64, "s") == order_by_load(LOADS, 64, "s") != order_by_load(LOADS, 64, "t")


def test_equal_loads_keep_their_order():
    assert order_by_load([7] * 10, 64, "s") == list(range(10))

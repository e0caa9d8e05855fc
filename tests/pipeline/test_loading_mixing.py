"""A pass over several sources holds each exactly as often as asked, and any stretch of it holds them in proportion."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.loading.mixing import Share, mixed

BLOCKS = st.lists(st.integers(1, 70), min_size=1, max_size=5)


def shares_of(sources):
    """Shares whose files follow each other in turn, as those of units do that are named by content."""
    found, first = {}, 0
    for place in range(max(len(blocks) for blocks, _ in sources)):
        for name, (blocks, _) in enumerate(sources):
            if place < len(blocks):
                found.setdefault(name, []).append((first, blocks[place]))
                first += blocks[place]
    return [Share(f"s{name}", tuple(found[name]), rows) for name, (_, rows) in enumerate(sources)]


def rows_of(share):
    return {row for first, rows in share.blocks for row in range(first, first + rows)}


@given(
    sources=st.lists(st.tuples(BLOCKS, st.integers(1, 400)), min_size=1, max_size=4),
    group=st.integers(1, 90),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
@settings(deadline=None)
def test_every_row_of_a_source_comes_as_often_as_any_other_to_within_one(sources, group, seed, epoch):
    shares = shares_of(sources)
    order = mixed(shares, group=group, buffer=3, seed=seed, epoch=epoch)
    counts = Counter(order.tolist())
    assert len(order) == sum(share.num_rows for share in shares)
    for share in shares:
        own = rows_of(share)
        found = [counts[row] for row in own]
        assert sum(found) == share.num_rows
        assert set(found) <= {share.num_rows // len(own), share.num_rows // len(own) + 1}


@given(
    sources=st.lists(st.tuples(BLOCKS, st.integers(1, 400)), min_size=2, max_size=4),
    group=st.integers(1, 9),
    epoch=st.integers(0, 9),
)
@settings(deadline=None)
def test_any_stretch_of_a_pass_holds_the_sources_in_proportion(sources, group, epoch):
    """Where all rows fill steps of their source: from the start to any step, a source is ahead by less than k + 1."""
    shares = shares_of([([group * size for size in blocks], group * rows) for blocks, rows in sources])
    steps = mixed(shares, group=group, buffer=3, seed=0, epoch=epoch).reshape(-1, group)
    source_of = {row: number for number, share in enumerate(shares) for row in rows_of(share)}
    found = np.array([source_of[row] for row in steps[:, 0].tolist()])
    assert all(source_of[row] == own for step, own in zip(steps.tolist(), found.tolist(), strict=True) for row in step)
    for number, (_, num_steps) in enumerate(sources):
        share = num_steps / len(steps)
        expected = share * np.arange(1, len(steps) + 1)
        assert np.abs(np.cumsum(found == number) - expected).max() < 1 + len(shares) * share + 1e-6


def test_a_step_is_of_one_source_but_for_what_sources_leave_over():
    shares = shares_of([([64, 61], 125), ([64, 40], 104), ([3], 3)])
    steps = mixed(shares, group=8, buffer=4, seed=0, epoch=0)[: 232 // 8 * 8].reshape(-1, 8).tolist()
    of_one = [any(rows_of(share).issuperset(step) for share in shares) for step in steps]
    assert (len(steps), sum(of_one)) == (29, 15 + 13)
    assert {*rows_of(shares[2])} <= set(steps[of_one.index(False)])


def test_an_order_is_the_same_on_every_machine():
    shares = [Share("a", ((0, 3), (5, 2)), 5), Share("b", ((3, 2),), 5)]
    assert mixed(shares, group=2, buffer=1, seed=3, epoch=1).tolist() == [4, 1, 3, 4, 6, 5, 3, 4, 0, 2]


def test_epochs_and_seeds_give_orders_of_their_own():
    shares = shares_of([([64, 64], 100), ([30], 75)])
    orders = {tuple(mixed(shares, group=4, buffer=2, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(orders) == 6


def test_what_is_left_out_at_the_end_differs_by_epoch():
    shares = shares_of([([13], 13), ([9], 9)])
    last = {int(mixed(shares, group=4, buffer=1, seed=0, epoch=epoch)[-1]) for epoch in range(40)}
    assert len(last) > 8
    assert {row < 13 for row in last} == {True, False}


def test_what_comes_twice_comes_far_apart():
    shares = shares_of([([64] * 4, 512), ([64], 64)])
    order = mixed(shares, group=4, buffer=2, seed=0, epoch=0)
    place = {}
    for number, row in enumerate(order.tolist()):
        place.setdefault(row, []).append(number)
    gaps = [places[1] - places[0] for row, places in place.items() if row in rows_of(shares[0])]
    assert np.mean(gaps) > 200

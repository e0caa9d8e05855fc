"""A shuffled pass is a fixed order of all rows, in which the rows of one step stay neighbours of one data file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.loading.order import shuffled

BLOCKS = st.lists(st.integers(1, 70), min_size=1, max_size=8)


@given(
    blocks=BLOCKS, group=st.integers(1, 150), buffer=st.integers(1, 6), seed=st.integers(0, 9), epoch=st.integers(0, 9)
)
@settings(deadline=None)
def test_every_row_comes_once(blocks, group, buffer, seed, epoch):
    order = shuffled(blocks, group=group, buffer=buffer, seed=seed, epoch=epoch)
    assert sorted(order) == list(range(sum(blocks)))


def test_an_order_is_the_same_on_every_machine():
    assert shuffled([6, 5], group=2, buffer=1, seed=3, epoch=1).tolist() == [3, 2, 4, 5, 6, 8, 1, 0, 10, 9, 7]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_seeds_and_epochs_give_orders_of_their_own(changed):
    plain = {"group": 4, "buffer": 2, "seed": 0, "epoch": 0}
    assert shuffled([64] * 4, **plain).tolist() != shuffled([64] * 4, **plain | changed).tolist()


@pytest.mark.parametrize("group", [2, 3, 8, 24, 64])
def test_steps_are_neighbours_of_one_file_but_for_what_files_leave_over(group):
    steps = shuffled([64] * 9, group=group, buffer=4, seed=0, epoch=0)
    steps = steps[: len(steps) // group * group].reshape(-1, group)
    spread = steps.max(axis=1) - steps.min(axis=1)
    # The rows that are left over are cut out of the middle: a step around the cut is as much wider.
    together = (spread < group + 64 % group) & (steps.max(axis=1) // 64 == steps.min(axis=1) // 64)
    assert together.sum() >= 9 * (64 // group)


def test_no_rank_always_has_the_first_of_its_neighbours():
    steps = shuffled([64] * 20, group=4, buffer=2, seed=0, epoch=0).reshape(-1, 4)
    shares = np.bincount(steps.argmin(axis=1), minlength=4) / len(steps)
    assert shares.min() > 0.15


def test_what_is_left_over_differs_by_epoch():
    last = {int(shuffled([13], group=4, buffer=1, seed=0, epoch=epoch)[-1]) for epoch in range(40)}
    assert len(last) > 8


def test_a_window_holds_no_more_row_groups_than_its_buffer():
    order = shuffled([64] * 6, group=1, buffer=3, seed=0, epoch=0)
    groups = [set(order[start : start + 24] // 8) for start in range(0, len(order), 24)]
    assert max(map(len, groups)) == 3
    assert len({tuple(own) for own in groups}) == 16


def test_place_in_the_files_goes_for_nothing_in_the_pass():
    order = shuffled([64] * 200, group=8, buffer=4, seed=0, epoch=0)
    correlation = np.corrcoef(np.arange(len(order)), order)[0, 1]
    assert abs(correlation) < 0.2

"""Ranks and workers share the rows without loss or overlap, and a pass goes on at every row as if never stopped."""

from __future__ import annotations

import json
from itertools import chain, zip_longest
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_loading import numbered, rows

from pipeline.errors import ConfigError
from pipeline.loading import PackedDataset, dataset

SIZES = (9, 1, 12, 5)
NUM_PACKS = sum(SIZES)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("split"), *SIZES)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("small"), 4, 1, 7)


def as_worker(number, num_workers):
    """Inside: what a DataLoader's worker sees of itself; of none if there are none."""
    found = SimpleNamespace(id=number, num_workers=num_workers) if num_workers else None
    return patch.object(dataset, "get_worker_info", lambda: found)


def passes(data, num_workers, state=None):
    """For each worker, its rows and its state before each of them and after the last."""
    found = []
    for number in range(max(1, num_workers)):
        with as_worker(number, num_workers):
            if state is not None:
                data.load_state_dict(state)
            states, own = [], []
            for row in iter_with(data, states):
                own.append(row["row"])
            found.append((own, states))
    return found


def iter_with(data, states):
    """The rows; appends the state before each, and the one after the last as it stands before the end is known."""
    for row in data:
        yield row
        states.append(json.loads(json.dumps(data.state_dict())))


def in_order(found):
    """Rows as a DataLoader has them of its workers in turn."""
    return [row for row in chain.from_iterable(zip_longest(*(own for own, _ in found))) if row is not None]


@pytest.mark.parametrize("world_size", range(1, 10))
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_ranks_and_workers_share_the_rows_without_loss_or_overlap(output, world_size, shuffle):
    orders = []
    for num_workers in range(4):
        taken = []
        for rank in range(world_size):
            data = PackedDataset(output, rank=rank, world_size=world_size, shuffle=shuffle)
            taken.append(in_order(passes(data, num_workers)))
            assert len(taken[-1]) == len(data) == NUM_PACKS // world_size
        orders.append(list(chain.from_iterable(zip(*taken, strict=True))))
        assert len(set(orders[-1])) == len(orders[-1]) == NUM_PACKS // world_size * world_size
    assert orders == [orders[0]] * 4
    assert shuffle or orders[0] == list(range(len(orders[0])))


@pytest.mark.parametrize("world_size", [2, 4, 40])
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_the_last_step_is_filled_with_rows_marked_as_repeated_where_asked(output, world_size, shuffle):
    found = []
    for rank in range(world_size):
        data = PackedDataset(output, rank=rank, world_size=world_size, shuffle=shuffle, drop_last=False)
        found.append([(row["row"], row["repeated"]) for row in data])
        assert len(found[-1]) == len(data) == -(-NUM_PACKS // world_size)
    order = list(chain.from_iterable(zip(*found, strict=True)))
    assert [repeated for _, repeated in order] == [False] * NUM_PACKS + [True] * (len(order) - NUM_PACKS)
    assert sorted(row for row, repeated in order if not repeated) == list(range(NUM_PACKS))
    assert [row for row, _ in order[NUM_PACKS:]] == [row for row, _ in order[: len(order) - NUM_PACKS]]


def test_passes_are_shuffled_by_seed_and_epoch(output):
    data = PackedDataset(output, shuffle=True, seed=1)
    first = rows(data)
    assert first == rows(data) == rows(PackedDataset(output, shuffle=True, seed=1))
    data.set_epoch(1)
    second = rows(data)
    assert sorted(first) == sorted(second) == list(range(NUM_PACKS))
    orders = {tuple(order) for order in (first, second, rows(PackedDataset(output, shuffle=True, seed=2)))}
    assert len(orders) == 3


@given(
    shuffle=st.booleans(),
    world_size=st.integers(1, 4),
    num_workers=st.integers(0, 3),
    epoch=st.integers(0, 2),
    drop_last=st.booleans(),
    data=st.data(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_restored_at_every_state_a_pass_is_as_if_never_stopped(
    small, shuffle, world_size, num_workers, epoch, drop_last, data
):
    rank = data.draw(st.integers(0, world_size - 1))

    def opened():
        named = {"shuffle": shuffle, "drop_last": drop_last, "buffer": 2}
        found = PackedDataset(small, rank=rank, world_size=world_size, **named)
        found.set_epoch(epoch)
        return found

    for number in range(max(1, num_workers)):
        with as_worker(number, num_workers):
            fresh = opened()
            before, states, whole = [fresh.state_dict()], [], []
            for row in iter_with(fresh, states):
                whole.append(row["row"])
            before += states
            for taken, state in enumerate(before):
                again = opened()
                again.load_state_dict(state)
                assert again.state_dict() == state
                assert rows(again) == whole[taken:]
                assert rows(again) == whole  # the next pass is whole


def test_a_finished_pass_is_the_start_of_the_next_epoch(output):
    data = PackedDataset(output, shuffle=True)
    rows(data)
    state = data.state_dict()
    assert (state["epoch"], state["row"]) == (1, 0)
    data.set_epoch(1)
    assert data.state_dict() == state
    other = PackedDataset(output, shuffle=True)
    other.load_state_dict(state)
    assert rows(other) == rows(data)


def test_a_place_of_one_epoch_is_left_for_another(output):
    data = PackedDataset(output, shuffle=True)
    begun = iter(data)
    next(begun)
    state = data.state_dict()
    data.load_state_dict(state)
    data.set_epoch(0)
    assert len(rows(data)) == NUM_PACKS - 1
    data.load_state_dict(state)
    data.set_epoch(1)
    assert len(rows(data)) == NUM_PACKS


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_pass_goes_on_with_other_ranks_and_workers_in_the_middle(output, shuffle, after):
    def pair():
        return [PackedDataset(output, rank=rank, world_size=2, shuffle=shuffle) for rank in range(2)]

    datas = pair()
    began = [iter(data) for data in datas]
    before = [next(reader)["row"] for _ in range(3) for reader in began]
    states = [data.state_dict() for data in datas]
    assert states[0] == states[1]
    rest = []
    for rank in range(after):
        data = PackedDataset(output, rank=rank, world_size=after, shuffle=shuffle)
        rest.append(in_order(passes(data, 2, states[0])))
    follow = list(chain.from_iterable(zip(*rest, strict=True)))
    assert len(follow) == (NUM_PACKS - 6) // after * after
    assert len({*before, *follow}) == len(before) + len(follow)
    whole = list(chain.from_iterable(zip(*(rows(data) for data in pair()), strict=True)))
    assert (before + follow)[: len(whole)] == whole[: len(before) + len(follow)]


def test_a_trainer_that_counts_steps_resumes_from_them(output):
    data = PackedDataset(output, shuffle=True, rank=1, world_size=3)
    whole = rows(data)
    other = PackedDataset(output, shuffle=True, rank=1, world_size=3)
    other.load_state_dict(other.state_dict() | {"row": 4 * 3})
    assert rows(other) == whole[4:]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 7}, "version 7.*version=7"),
        ({"seed": 3}, "seed 3.*seed=3"),
        ({"shuffle": True}, "shuffle True.*shuffle=True"),
        ({"buffer": 9}, "buffer 9.*buffer=9"),
        ({"row": 99}, "row 99 of 27"),
    ],
)
def test_states_of_other_data_or_another_order_are_refused(output, changed, message):
    data = PackedDataset(output)
    with pytest.raises(ConfigError, match=message):
        data.load_state_dict(data.state_dict() | changed)


def test_orders_that_cannot_be_are_refused(output):
    for named in ({"buffer": 0}, {"seed": -1}):
        with pytest.raises(ConfigError, match="from 0 expected"):
            PackedDataset(output, **named)

"""Ranks and workers share the rows without loss or overlap, and a pass goes on at every row as if never stopped."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, zip_longest
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_loading import numbered, rows

from pipeline.errors import ConfigError
from pipeline.loading import PackedDataset, dataset
from pipeline.loading.order import shuffled

SIZES = (9, 1, 12, 5)
NUM_PACKS = sum(SIZES)
IN_A = {*range(9), *range(10, 22)}
"""Rows of source a in `mixture`."""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("split"), *SIZES)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("small"), 4, 1, 7)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Sources a (9 and 12 packs) and b (1 and 5)."""
    return numbered(tmp_path_factory.mktemp("mixture"), *SIZES, sources=("a", "b"))


@pytest.fixture(scope="module")
def small_mixture(tmp_path_factory):
    """Sources a (4 and 7 packs) and b (1)."""
    return numbered(tmp_path_factory.mktemp("small-mixture"), 4, 1, 7, sources=("a", "b"))


WEIGHTS = {"plain": (None, 27), "weighted": ({"a": 0.5, "b": 2.5}, 25), "one left out": ({"a": 0}, 6)}
"""And rows of a pass over `mixture`: 21 packs of a (10.5 is halfway between 10 and 11, and 10 even), 6 of b."""


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


@pytest.mark.parametrize("world_size", range(1, 8))
@pytest.mark.parametrize("kind", WEIGHTS)
def test_ranks_and_workers_share_the_rows_of_a_mixture(mixture, world_size, kind):
    weights, length = WEIGHTS[kind]
    if length < world_size:
        with pytest.raises(ConfigError, match=f"{length} packs for {world_size} ranks"):
            PackedDataset(mixture, rank=0, world_size=world_size, shuffle=True, weights=weights)
        return
    orders = []
    for num_workers in range(4):
        taken = []
        for rank in range(world_size):
            data = PackedDataset(mixture, rank=rank, world_size=world_size, shuffle=True, weights=weights)
            taken.append(in_order(passes(data, num_workers)))
            assert len(taken[-1]) == len(data) == length // world_size
        orders.append(list(chain.from_iterable(zip(*taken, strict=True))))
    assert orders == [orders[0]] * 4
    if weights is None:
        assert len(set(orders[0])) == len(orders[0])


def test_weights_are_passes_over_a_source_exact_to_one_pack(mixture):
    data = PackedDataset(mixture, shuffle=True, weights={"a": 0.5, "b": 2.5})
    halves = []
    for epoch in range(12):
        data.set_epoch(epoch)
        counts = Counter(rows(data))
        of_a = {row: count for row, count in counts.items() if row in IN_A}
        of_b = {row: count for row, count in counts.items() if row not in IN_A}
        assert (len(of_a), set(of_a.values())) == (10, {1})
        assert (len(of_b), sum(of_b.values()), set(of_b.values())) == (6, 15, {2, 3})
        halves.append((frozenset(of_a), frozenset(row for row, count in of_b.items() if count == 3)))
    assert len({of_a for of_a, _ in halves}) == 12
    assert len({of_b for _, of_b in halves}) > 6


def test_a_source_that_weights_do_not_name_is_gone_over_once(mixture):
    counts = Counter(rows(PackedDataset(mixture, shuffle=True, weights={"b": 2})))
    assert {count for row, count in counts.items() if row in IN_A} == {1}
    assert {count for row, count in counts.items() if row not in IN_A} == {2}


def test_one_source_without_weights_keeps_the_order_of_its_own(output):
    expected = shuffled(list(SIZES), group=2, buffer=4, seed=5, epoch=3)[: NUM_PACKS - 1]
    taken = []
    for rank in range(2):
        data = PackedDataset(output, rank=rank, world_size=2, shuffle=True, seed=5)
        data.set_epoch(3)
        taken.append(rows(data))
    assert list(chain.from_iterable(zip(*taken, strict=True))) == expected.tolist()


def test_a_source_of_a_job_without_a_mixture_is_called_input(output):
    counts = Counter(rows(PackedDataset(output, shuffle=True, weights={"input": 2})))
    assert set(counts.values()) == {2}
    assert len(counts) == NUM_PACKS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"c": 1, "a": 2}}, "name c, and .* has the sources a, b"),
        ({"weights": {"a": -1}}, "give a -1; 0 or more expected"),
        ({"weights": {"a": float("nan")}}, "give a nan"),
        ({"weights": {"a": float("inf")}}, "give a inf"),
        ({"weights": {"a": 2}, "shuffle": False}, "say shuffle=True"),
        ({"weights": {"a": 0, "b": 0}}, "0 packs for 1 ranks"),
    ],
)
def test_weights_that_cannot_be_are_refused(mixture, options, message):
    with pytest.raises(ConfigError, match=message):
        PackedDataset(mixture, **({"shuffle": True} | options))


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
    weights=st.sampled_from([None, {"a": 0.6, "b": 3}, {"a": 2.5, "b": 0}, {}]),
    world_size=st.integers(1, 4),
    num_workers=st.integers(0, 3),
    epoch=st.integers(0, 2),
    drop_last=st.booleans(),
    data=st.data(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_restored_at_every_state_a_pass_is_as_if_never_stopped(
    small, small_mixture, shuffle, weights, world_size, num_workers, epoch, drop_last, data
):
    rank = data.draw(st.integers(0, world_size - 1))
    folder = data.draw(st.sampled_from([small, small_mixture])) if weights is None else small_mixture

    def opened():
        named = {"shuffle": shuffle or weights is not None, "drop_last": drop_last, "buffer": 2, "weights": weights}
        found = PackedDataset(folder, rank=rank, world_size=world_size, **named)
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


@pytest.mark.parametrize("kind", ["in order", "shuffled", "mixture"])
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_pass_goes_on_with_other_ranks_and_workers_in_the_middle(output, mixture, kind, after):
    output, shuffle = mixture if kind == "mixture" else output, kind != "in order"

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
        ({"weights": {"input": 2.0}}, "weights {'input': 2.0}.*weights={'input': 2.0}"),
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

"""Units are of one source each, and stand in the order of work so that any part of it holds all sources alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning import _units
from pipeline.takes import Taken
from pipeline.types import Shard, Source
from pipeline.units import group_shards


def taken_of(sizes, takes=False):
    found = []
    for name, size in enumerate(sizes):
        shards = tuple(Shard(f"s{name}/{i:03d}.tar", f"/s{name}/{i:03d}.tar") for i in range(size))
        found.append(Taken(Source("pairs", name=f"s{name}"), shards, tuple(range(size)) if takes else None, ()))
    return found


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 6), st.booleans())
def test_every_shard_is_in_one_unit_of_its_source_with_its_take(sizes, target, takes):
    taken = taken_of(sizes, takes)
    units = _units(taken, target)
    assert [unit.number for unit in units] == list(range(len(units)))
    for one in taken:
        own = [unit for unit in units if unit.source == one.source]
        assert [unit.shards for unit in own] == group_shards(one.shards, target)
        assert not takes or [take for unit in own for take in unit.take] == list(one.takes)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_when_part_of_the_units_is_done_as_much_of_each_source_is(sizes):
    units = _units(taken_of(sizes), 1)
    for done in range(len(units) + 1):
        for name, size in enumerate(sizes):
            found = sum(unit.source.name == f"s{name}" for unit in units[:done])
            assert abs(found - size * done / max(1, len(units))) <= 1 + len(sizes) / 2


def test_units_of_two_sources_alternate_and_of_one_keep_their_order():
    assert [unit.source.name for unit in _units(taken_of([2, 4]), 1)] == ["s1", "s0", "s1", "s1", "s0", "s1"]
    assert [unit.shards[0].name for unit in _units(taken_of([3]), 1)] == ["s0/000.tar", "s0/001.tar", "s0/002.tar"]

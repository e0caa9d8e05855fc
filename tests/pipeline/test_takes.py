"""A limit is dealt to the sources in turn, caps end a source, and shards behind the last sample are never opened."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.verify.findings import Report
from jobs.verify.records import Manifest, Version
from jobs.verify.takes import check_takes
from pipeline import takes as module
from pipeline.types import Shard, Source


@pytest.fixture(autouse=True, scope="module")
def counted():
    """Shards whose URL says how many samples they have."""

    class Opened:
        def __init__(self, url):
            self._url = url

        def __enter__(self):
            return int(self._url), None

        def __exit__(self, *_):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.storage, "open_input", Opened)
        patch.setattr(module, "count_samples", lambda stream, _, **__: stream)
        yield


def inputs_of(sources):
    return [
        (
            Source("pairs", max_samples=cap, name=f"s{i}"),
            [Shard(f"s{i}/{number:03d}", str(size)) for number, size in enumerate(sizes)],
        )
        for i, (sizes, cap) in enumerate(sources)
    ]


def dealt(sources, limit):
    """Samples of each source: one each in turn, to those that have more."""
    room = [min(sum(sizes), sum(sizes) if cap is None else cap) for sizes, cap in sources]
    shares = [0] * len(room)
    for i in cycle(range(len(room))):
        if shares == room or sum(shares) == limit:
            return shares
        shares[i] += shares[i] < room[i]
    return shares


SOURCES = st.lists(
    st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.none() | st.integers(1, 30)),
    min_size=1,
    max_size=5,
)


@given(SOURCES, st.integers(1, 120))
def test_a_limit_is_dealt_in_turn_and_taken_from_the_first_shards(sources, limit):
    taken = module.take_samples(inputs_of(sources), limit)
    assert [sum(one.takes) for one in taken] == dealt(sources, limit)
    for (sizes, _), one in zip(sources, taken, strict=True):
        assert [int(shard.url) for shard in (*one.shards, *one.withheld)] == sizes
        assert all(take == size for take, size in zip(one.takes[:-1], sizes, strict=False))


@given(SOURCES)
def test_a_cap_takes_the_first_samples_of_its_source_alone(sources):
    for (sizes, cap), one in zip(sources, module.take_samples(inputs_of(sources), None), strict=True):
        if cap is None:
            assert (len(one.shards), one.takes, one.withheld) == (len(sizes), None, ())
        else:
            assert sum(one.takes) == min(cap, sum(sizes))
            assert sum(sizes[: len(one.shards) - 1]) < cap


@given(SOURCES, st.none() | st.integers(1, 120))
def test_the_check_deals_as_the_build_does(sources, limit):
    taken = module.take_samples(inputs_of(sources), limit)
    common = {"schema_version": 3, "recipe_id": "", "reasons": {}}
    manifests, listed = [], {}
    for one in taken:
        name = one.source.name
        entries = [
            {"shard": shard.name, "sha256": "", "bytes": 0, "samples": int(shard.url), "ignored": 0, "take": take}
            for shard, take in zip(one.shards, one.takes or [None] * len(one.shards), strict=True)
        ]
        recipe = {"source": {"name": name}}
        if entries:
            manifests.append(Manifest(**common, unit=name, recipe=recipe, inputs=entries, files=[], counts={}))
        units = [name] if entries else []
        source = {"format": "pairs", "weight": 1.0, "max_samples": one.source.max_samples}
        listed[name] = source | {"units": units, "totals": {}}
    withheld = [shard.name for one in taken for shard in one.withheld]
    units = [manifest.unit for manifest in manifests]
    version = Version(**common, recipe={}, units=units, sources=listed, totals={}, withheld_shards=withheld)
    report = Report("out", 1)
    check_takes(manifests, version, limit, report)
    assert report.findings == []


def test_what_one_source_lacks_goes_to_the_others_and_the_remainder_to_the_first():
    taken = module.take_samples(inputs_of([([9], None), ([1], None), ([9], None)]), 12)
    assert [one.takes for one in taken] == [(6,), (1,), (5,)]


def test_shards_behind_the_last_sample_are_not_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(module, "count_samples", lambda stream, _, **__: opened.append(stream) or stream)
    module.take_samples(inputs_of([([5, 6, 7], None), ([8, 9], 8)]), 10)
    assert sorted(opened) == [5, 8]

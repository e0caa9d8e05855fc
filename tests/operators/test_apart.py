"""Copies of a document are packed apart wherever one more place, or one exchange, can part them; no bin is added."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.packing import bound, pack_items
from operators.packing.apart import Owner, pack_apart


def items_of(documents):
    """Items and sizes of documents given as (size, copies)."""
    items = [Owner(number, copy) for number, (_, copies) in enumerate(documents) for copy in range(copies)]
    return items, [documents[item.document][0] for item in items]


def meeting(bins, items):
    """(bin, document) of which the bin has more than one copy."""
    held = [Counter(document for document, _ in {items[i] for i in one}) for one in bins]
    return [(b, document) for b, counts in enumerate(held) for document, count in counts.items() if count > 1]


def fits(one, sizes, limits):
    return all(sum(sizes[i][d] for i in one) <= limit for d, limit in enumerate(limits))


DOCUMENTS = st.lists(
    st.tuples(st.tuples(st.integers(1, 60), st.integers(0, 10)), st.integers(1, 5)), min_size=1, max_size=14
)


@given(DOCUMENTS, st.text(max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_copy_is_in_one_bin_within_every_limit(documents, seed):
    items, sizes = items_of(documents)
    bins = pack_apart(items, sizes, (60, 20), seed)
    assert sorted(i for one in bins for i in one) == list(range(len(items)))
    assert all(one == sorted(one) and one and fits(one, sizes, (60, 20)) for one in bins)
    fill = [sum(sizes[i][0] for i in one) for one in bins]
    assert fill[-1] == min(fill)


@given(DOCUMENTS, st.text(max_size=3))
@settings(max_examples=60, deadline=None)
def test_no_move_and_no_exchange_of_two_items_would_part_what_still_meets(documents, seed):
    items, sizes = items_of(documents)
    limits = (60, 20)
    bins = pack_apart(items, sizes, limits, seed)
    for here, document in meeting(bins, items):
        for i in (i for i in bins[here] if items[i].document == document):
            for there in (b for b in range(len(bins)) if b != here):
                for back in [None, *bins[there]]:
                    left = [j for j in bins[here] if j != i] + ([] if back is None else [back])
                    right = [j for j in bins[there] if j != back] + [i]
                    is_parted = not any(
                        (b == 1 and d == document) or (back is not None and b == 0 and d == items[back].document)
                        for b, d in meeting([left, right], items)
                    )
                    assert not (is_parted and fits(left, sizes, limits) and fits(right, sizes, limits))


def test_without_copies_items_are_packed_as_ever():
    rng = random.Random(1)
    items, sizes = items_of([((rng.randrange(1, 100), 0), 1) for _ in range(300)])
    assert pack_apart(items, sizes, (100, 5), "seed") == pack_items(sizes, (100, 5))


@pytest.mark.parametrize("weight", [1.5, 2, 2.5, 4])
def test_of_a_usual_unit_no_two_copies_meet_and_no_bin_is_added(weight):
    rng = random.Random(7)
    lengths = [min(8192, int(rng.lognormvariate(6.8, 1))) for _ in range(200)]
    documents = [((n,), int((i + 1) * weight) - int(i * weight)) for i, n in enumerate(lengths)]
    items, sizes = items_of([document for document in documents if document[1]])
    bins = pack_apart(items, sizes, (8192,), "unit")
    assert meeting(bins, items) == []
    assert len(bins) == bound(sizes, (8192,))
    assert meeting(pack_items(sizes, (8192,)), items), "plain packing parts them too: the check is idle"


def test_groups_of_whole_weights_are_not_packed_alike():
    rng = random.Random(3)
    items, sizes = items_of([((rng.randrange(50, 4000),), 2) for _ in range(60)])
    bins = pack_apart(items, sizes, (8192,), "unit")
    held = [frozenset(items[i].document for i in one) for one in bins]
    assert len(set(held)) == len(held)


def test_more_copies_than_bins_meet_in_as_few_places_as_they_must():
    items, sizes = items_of([((10,), 3)])
    bins = pack_apart(items, sizes, (20,), "s")
    assert sorted(map(len, bins)) == [1, 2]


def test_parts_of_one_copy_may_share_a_bin():
    items = [Owner(0, 0), Owner(0, 0), Owner(0, 1), Owner(0, 1)]
    bins = pack_apart(items, [(30,), (10,), (30,), (10,)], (40,), "s")
    assert sorted(bins) == [[0, 1], [2, 3]]


def test_an_order_of_copies_depends_on_sizes_and_seed_alone():
    items, sizes = items_of([((n,), 3) for n in (5, 9, 14, 20, 33)])
    packed = {seed: pack_apart(items, sizes, (64,), seed) for seed in "abcdefgh"}
    assert packed == {seed: pack_apart(items, sizes, (64,), seed) for seed in "abcdefgh"}
    assert len({str(bins) for bins in packed.values()}) > 1

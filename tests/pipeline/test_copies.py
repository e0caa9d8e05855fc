"""A weight is kept exactly: any run of samples has as many copies as it says, to within one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.verify.copies import Copies
from pipeline.copies import PHASES, copies_before, num_copies, phase_of

WEIGHTS = st.floats(1e-6, 100) | st.sampled_from([0.1, 0.25, 0.3, 1 / 3, 1.0, 1.1, 2.5, 100.0])
NAMES = st.text(min_size=1, max_size=20)


@given(NAMES, WEIGHTS, st.integers(0, 10**9), st.integers(1, 10**6))
def test_any_run_of_samples_has_its_weight_to_within_one(shard, weight, start, count):
    phase = phase_of(shard)
    found = copies_before(start + count, weight, phase) - copies_before(start, weight, phase)
    assert abs(found - count * Fraction(repr(weight))) < 1


@given(NAMES, WEIGHTS, st.integers(0, 500))
def test_copies_are_what_their_running_total_grows_by(shard, weight, count):
    each = [num_copies(shard, ordinal, weight) for ordinal in range(count)]
    assert sum(each) == copies_before(count, weight, phase_of(shard))
    low = int(Decimal(repr(weight)))
    assert set(each) <= {low, low + 1}


@given(WEIGHTS, st.integers(0, 10**9), st.integers(0, PHASES - 1), st.integers(0, PHASES - 1))
def test_a_later_phase_never_has_fewer_and_at_most_one_more(weight, ordinal, one, other):
    first, last = sorted((one, other))
    assert 0 <= copies_before(ordinal, weight, last) - copies_before(ordinal, weight, first) <= 1
    assert copies_before(0, weight, last) == 0


@given(NAMES, st.integers(0, 10**12))
def test_a_weight_of_one_gives_one_each(shard, ordinal):
    assert num_copies(shard, ordinal, 1.0) == 1


@given(NAMES, WEIGHTS, st.integers(0, 10**9))
def test_the_check_counts_as_the_build_does(shard, weight, ordinal):
    assert Copies(shard, weight).of(ordinal) == num_copies(shard, ordinal, weight)


def test_a_tenth_is_a_tenth_and_not_the_float_nearest_to_it():
    # The float nearest to a tenth is 5.5e-18 too large: after 10**18 samples that is five copies more.
    assert copies_before(10**18, 0.1, 0) == 10**17
    assert int(10**18 * Fraction(0.1)) != 10**17


def test_shards_begin_at_places_of_their_own():
    first = {next(o for o in range(9) if num_copies(f"{i}.tar", o, 0.25)) for i in range(60)}
    assert first == {0, 1, 2, 3}


@pytest.mark.parametrize(("weight", "expected"), [(0.5, 2000), (2.5, 10_000), (0.001, 4)])
def test_shards_together_have_about_the_weight(weight, expected):
    total = sum(num_copies(f"{shard}.tar", ordinal, weight) for shard in range(40) for ordinal in range(100))
    assert abs(total - expected) <= 8

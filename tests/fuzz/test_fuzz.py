"""Whatever bytes come, they are accepted or rejected with a reason: no other exception, no crash, no hang."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzzing import HANG_SECONDS, Outcome, fuzz
from tests.fuzz.targets import TARGETS

SMOKE = {"tar": 600, "json": 2000, "picture": 600, "job": 150, "record": 150}
LONG = {"tar": 60_000, "json": 100_000, "picture": 60_000, "job": 5000, "record": 5000}
SEED = 20_261


def survives(kind: str, count: int) -> None:
    found = fuzz(kind, seed=SEED, first=0, count=count)
    assert found.to_lines(kind, SEED) == []
    assert (found.inputs, found.accepted + found.rejected) == (count, count)
    assert found.accepted
    assert found.rejected
    assert found.slowest_seconds < HANG_SECONDS


@pytest.mark.parametrize("kind", SMOKE)
def test_mutated_input_is_accepted_or_rejected(kind: str) -> None:
    survives(kind, SMOKE[kind])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", LONG)
def test_no_mutated_input_of_a_long_run_does_anything_else(kind: str) -> None:
    survives(kind, LONG[kind])


@pytest.mark.parametrize("kind", TARGETS)
def test_sound_inputs_are_accepted_by_somebody(kind: str) -> None:
    target = TARGETS[kind]
    assert any(target.check(seed) for seed in target.seeds())


def pieces(kind: str) -> st.SearchStrategy[bytes]:
    """Sound inputs, cuts of them, tokens and noise, one behind the other."""
    target = TARGETS[kind]
    seeds = st.sampled_from(list(target.seeds()))
    cuts = st.builds(
        lambda data, start, size: data[start : start + size], seeds, st.integers(0, 4000), st.integers(0, 3000)
    )
    return st.lists(st.one_of(seeds, cuts, st.sampled_from(target.tokens), st.binary(max_size=600)), max_size=5).map(
        b"".join
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(TARGETS)))
def test_pieces_in_any_order_are_accepted_or_rejected(data: st.DataObject, kind: str) -> None:
    TARGETS[kind].check(data.draw(pieces(kind)))


def test_an_input_depends_on_its_seed_and_number_alone() -> None:
    target = TARGETS["json"]
    found = [target.input(3, number) for number in range(40)]
    assert found == [target.input(3, number) for number in reversed(range(40))][::-1]
    assert found != [target.input(4, number) for number in range(40)]
    assert len(set(found)) > 30
    assert max(map(len, found)) <= 2 * max(map(len, target.seeds()))


def test_a_failure_is_told_with_the_command_that_runs_it_again() -> None:
    found = Outcome(inputs=2, crashes=[(7, "KeyError: 'texts'")], hangs=[9])
    assert found.to_lines("json", 3) == [
        "KeyError: 'texts': python -m tests.fuzz.fuzzing json --seed 3 --count 1 --first 7",
        "no end in 10 s: python -m tests.fuzz.fuzzing json --seed 3 --count 1 --first 9",
    ]

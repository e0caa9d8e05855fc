"""Pools that Ray could not place beside a reader are refused with a message; others grow to what there is."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chain import Node, Pool
from pipeline.errors import ConfigError
from pipeline.feasibility import SLACK, fit_pools, lacking, share_out

READ = 0.25


def pool(cpus, least=1, most=1, gpus=0.0):
    return Pool(cpus, gpus, least, most, 32)


def asked(pools):
    return sum(found.cpus * found.max_actors for found in pools.values())


def test_two_one_cpu_actors_on_two_cores_are_refused_as_no_reader_could_start():
    with pytest.raises(ConfigError) as caught:
        fit_pools({"decode": pool(1), "write": pool(1)}, [Node(2, 0)], READ)
    message = str(caught.value)
    assert "decode 1 x (1 CPU), write 1 x (1 CPU) and 0.25 CPU for reading" in message
    assert "the nodes have 2 CPU;" in message
    assert "lower resources" in message
    assert "--local" in message
    assert "\n" not in message


def test_fractions_fit_and_grow_to_what_is_left():
    pools = {"decode": pool(0.5, 1, 8), "pack": pool(0.1), "write": pool(0.5, 1, 8)}
    fitted = fit_pools(pools, [Node(2, 0)], READ)
    assert asked(fitted) + READ <= 2
    assert (fitted["decode"].max_actors, fitted["pack"].max_actors, fitted["write"].max_actors) == (2, 1, 1)
    assert all(found.min_actors == 1 for found in fitted.values())


def test_pools_grow_in_turns_up_to_their_own_bounds():
    fitted = fit_pools({"a": pool(1, 1, 3), "b": pool(1, 1, 64)}, [Node(16, 0)], READ)
    assert (fitted["a"].max_actors, fitted["b"].max_actors) == (3, 12)


def test_pools_that_fit_exactly_are_taken():
    fitted = fit_pools({"a": pool(0.1, 3, 10), "b": pool(0.3, 1, 1)}, [Node(1, 0)], 0.1)
    assert (fitted["a"].max_actors, fitted["b"].max_actors) == (6, 1)


def test_actors_do_not_spread_over_nodes():
    nodes = [Node(1, 0), Node(1, 0), Node(1, 0)]
    with pytest.raises(ConfigError, match="the nodes have 1 CPU, 1 CPU, 1 CPU"):
        fit_pools({"a": pool(1.5)}, nodes, READ)
    assert fit_pools({"a": pool(0.6, 1, 9)}, nodes, 0.5)["a"].max_actors == 2


def test_gpus_count_like_cpus():
    nodes = [Node(8, 0), Node(4, 1)]
    fitted = fit_pools({"score": pool(0.5, 1, 16, gpus=0.25), "decode": pool(1, 1, 64)}, nodes, READ)
    assert fitted["score"].max_actors == 4
    with pytest.raises(ConfigError, match=r"score 1 x \(0.5 CPU, 1 GPU\).*8 CPU;"):
        fit_pools({"score": pool(0.5, gpus=1)}, nodes[:1], READ)
    with pytest.raises(ConfigError):
        fit_pools({"score": pool(1, 2, 2, gpus=0.6)}, nodes, READ)


def test_hundreds_of_nodes_are_reckoned_with_in_seconds():
    pools = {"decode": pool(1, 1, 2500), "score": pool(0.25, 1, 2500, gpus=0.25), "write": pool(1, 1, 2500)}
    began = time.monotonic()
    fitted = fit_pools(pools, [Node(16, 1)] * 150, READ)
    assert time.monotonic() - began < 20  # 2 s, where actors placed one by one took over a minute
    assert [found.max_actors for found in fitted.values()] == [1125, 600, 1124]


def test_what_pools_wait_for_is_said_in_words():
    pools = {"decode": pool(2), "score": pool(0.5, gpus=0.25)}
    assert lacking(pools, [Node(1, 1)]) == "a node with 2 CPU for decode"
    assert lacking(pools, [Node(2, 0)]) == "a node with 0.25 GPU for score"
    assert lacking(pools, [Node(2, 1)]) == "room for the fewest actors of every pool"


def test_cluster_without_nodes_is_told():
    with pytest.raises(ConfigError, match="the nodes have none"):
        fit_pools({"a": pool(0)}, [], READ)


pools_of = st.dictionaries(
    st.sampled_from(["decode", "score", "pack", "write"]),
    st.tuples(st.floats(0, 3), st.integers(1, 3), st.integers(0, 9)).map(lambda t: pool(t[0], t[1], t[1] + t[2])),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(pools_of, st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_what_was_fitted_fits_again_at_its_upper_bounds(pools, cpus):
    nodes = [Node(count, 0) for count in cpus]
    try:
        fitted = fit_pools(pools, nodes, READ)
    except ConfigError:
        return
    assert asked(fitted) + READ <= sum(cpus) + SLACK
    for name, found in fitted.items():
        assert pools[name].min_actors <= found.max_actors <= pools[name].max_actors
    full = {name: Pool(p.cpus, p.gpus, p.max_actors, p.max_actors, p.batch_size) for name, p in fitted.items()}
    assert fit_pools(full, nodes, READ) == full


@settings(max_examples=60, deadline=None)
@given(pools_of, st.integers(1, 16), st.integers(1, 64))
def test_shared_out_pools_fit_with_exactly_the_actors_asked_for(pools, num_actors, cpus):
    shared = share_out(pools, num_actors, ["pack"], cpus, READ)
    for name, found in shared.items():
        assert 0 <= found.cpus <= pools[name].cpus
        if name == "pack":
            assert (found.min_actors, found.max_actors) == (pools[name].min_actors, pools[name].max_actors)
        else:
            assert (found.min_actors, found.max_actors) == (num_actors, num_actors)
    lower = sum(found.cpus * found.min_actors for found in shared.values())
    assert lower + READ <= cpus + SLACK
    fit_pools(shared, [Node(cpus, 0)], READ)


def test_shares_are_cut_only_as_far_as_needed():
    pools = {"a": pool(1, 1, 4), "pack": pool(0.1)}
    assert share_out(pools, 2, ["pack"], 16, READ)["a"].cpus == 1
    assert share_out(pools, 8, ["pack"], 2, READ)["a"].cpus == pytest.approx(0.95 * 1.75 / 8.1, abs=1e-3)


def test_reader_that_fits_nowhere_is_refused_however_pools_share():
    shared = share_out({"a": pool(1)}, 2, [], 2, 4)
    assert shared["a"].cpus >= 0
    with pytest.raises(ConfigError, match="4 CPU for reading"):
        fit_pools(shared, [Node(2, 0)], 4)

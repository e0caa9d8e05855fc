"""The meter: its formula, and what the schedules of the papers save."""

from fractions import Fraction

import numpy as np
import pytest

from operators.reduction.flops import Decoder, costs, document_cost, tokens_by_layer
from operators.reduction.plan import Clusters, ImageTokens, Reduction
from operators.reduction.rank import Rank
from operators.reduction.sparsevlm import SparseVLM

WHOLE = ImageTokens(((24, 24),), ("whole",), ((0, 0),), scores=np.arange(576), features=np.arange(576)[:, None] % 7)


def percent(schedule, num_text):
    whole, reduced = costs(num_text, [Rank(schedule=schedule).plan(WHOLE)])
    return tuple(round(float(share) * 100, 1) for share in whole.saved(reduced))


def test_the_progressive_schedule_saves_what_its_layers_say():
    assert percent("progressive", 0) == (56.6, 70.7, 56.9)  # token-layers, attention, FLOPs
    assert percent("progressive", 64) == (56.6, 70.7, 51.4)


def test_pyramid_drop_saves_53_percent():
    token_layers, _, flops = percent("pyramid", 0)
    assert (token_layers, flops) == (53.1, 53.4)


def test_a_layer_costs_its_formula():
    n, d, m = 10, 8, 24
    assert Decoder(1, d, m).layer_flops(n) == 4 * n * d * d + 2 * n * n * d + 3 * n * d * m
    assert Decoder().layer_flops(576) == 4 * 576 * 4096**2 + 2 * 576**2 * 4096 + 3 * 576 * 4096 * 11008


def test_a_document_costs_the_formula_of_each_layer():
    decoder = Decoder(3, 8, 24)
    cost = document_cost(5, [[4, 4, 2], [3, 1, 1]], decoder)
    assert cost.flops == sum(decoder.layer_flops(n) for n in (12, 10, 8))
    assert (cost.token_layers, cost.attention) == (15, 16 + 16 + 4 + 9 + 1 + 1)
    with pytest.raises(ValueError, match="tokens for 2 layers, the decoder 3"):
        document_cost(5, [[4, 4]], decoder)


def test_nothing_is_saved_where_there_is_nothing():
    empty = document_cost(0, [])
    assert empty.saved(empty) == (0, 0, 0)
    whole, reduced = costs(7, [Reduction((), 9)])
    assert whole == reduced
    assert whole.saved(reduced) == (Fraction(0), Fraction(0), Fraction(0))


def test_merged_tokens_cost_nothing_in_any_layer():
    kept = Reduction((), 8, kept=np.array([0, 4]), schedule=((1, 1),))
    assert tokens_by_layer(kept, 3) == [2, 1, 1]


def test_tokens_that_are_interpolated_count_from_their_layer_on():
    reduction = Reduction((), 576, kept=np.arange(0, 576, 4), expand=(14, 576))
    assert tokens_by_layer(reduction, 32) == [144] * 14 + [576] * 18


def test_clusters_count_until_the_next_layer_of_the_schedule():
    groups = np.array([0, 1, 1])
    reduction = Reduction((), 9, schedule=((1, 5), (3, 2)), clusters=(Clusters(1, np.array([6, 7, 8]), groups),))
    assert tokens_by_layer(reduction, 5) == [9, 7, 7, 2, 2]


def test_the_budgets_of_sparsevlm_are_means_over_its_layers():
    for version in ("1.5", "plus"):
        for tokens in (192, 128, 96, 64):
            counts = tokens_by_layer(SparseVLM(version=version, tokens=tokens).plan(WHOLE), 32)
            assert tokens <= sum(counts) / 32 < tokens + 1

"""TokenFLEX draws the same again, in the shares that it says, and pools as torch does; scores may choose instead."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from operators.reduction.plan import ImageTokens
from operators.reduction.pooling import boundaries
from operators.reduction.tokenflex import TokenFlex, TokenFlexByScores

SAMPLES = 20_000


def image(*grids, **given):
    return ImageTokens(grids, ("whole",) * len(grids), ((0, 0),) * len(grids), **given)


def counts(method, samples=SAMPLES):
    return [method.count(image((27, 27), document=f"shard.tar/{number}#0")) for number in range(samples)]


def test_golden_20_000_samples_have_184_tokens_on_average_in_the_shares_of_the_paper():
    found = counts(TokenFlex())
    seen = Counter(found)
    assert set(seen) == {64, 144, 256}
    expected = {64: 0.2, 144: 0.3, 256: 0.5}
    assert all(abs(seen[count] / SAMPLES - share) < 0.01 for count, share in expected.items())
    assert (
        chisquare([seen[count] for count in expected], [share * SAMPLES for share in expected.values()]).pvalue > 0.01
    )
    assert np.mean(found) == pytest.approx(184, abs=184 * 0.01)


def test_draws_are_the_same_again_and_others_with_another_seed():
    first = counts(TokenFlex(), 200)
    assert first == counts(TokenFlex(), 200)
    assert first != counts(TokenFlex(seed=1), 200)


def test_images_of_a_sample_share_its_draw_unless_each_has_its_own():
    images = [image((27, 27), document="s/k#0", identity=f"s/k#0/{number}") for number in range(40)]
    assert len({TokenFlex().count(one) for one in images}) == 1
    assert len({TokenFlex(draws="image").count(one) for one in images}) == 3


def test_weights_need_no_sum():
    ours = [TokenFlex(probabilities={64: 2, 144: 3, 256: 5}).count(image((27, 27), document=str(i))) for i in range(99)]
    assert ours == [TokenFlex().count(image((27, 27), document=str(i))) for i in range(99)]


@pytest.mark.parametrize("wrong", [{}, {63: 1.0}, {64: 0}, {64: -1.0}, {64: float("nan")}])
def test_counts_that_are_no_square_and_weights_that_are_none_are_refused(wrong):
    with pytest.raises(ValidationError):
        TokenFlex(probabilities=wrong)


@pytest.mark.parametrize("side", [8, 12, 16])
def test_pools_of_a_27_x_27_view_are_torchs(side):
    plan = TokenFlex(probabilities={side**2: 1}).plan(image((27, 27)))
    assert plan.pools == ((side, side),)
    assert plan.num_kept == side**2
    values = torch.arange(27, dtype=torch.float64)[None]
    pooled = torch.nn.functional.adaptive_avg_pool1d(values, side)[0]
    assert [values[0, a:b].mean().item() for a, b in boundaries(27, side)] == pytest.approx(pooled.tolist())


def test_golden_boundaries_are_floor_and_ceil():
    assert boundaries(27, 8)[:3] == [(0, 4), (3, 7), (6, 11)]
    assert boundaries(27, 8)[-1] == (23, 27)


def test_a_side_that_is_shorter_stays():
    plan = TokenFlex(probabilities={256: 1}).plan(image((10, 27), (4, 4)))
    assert plan.pools == ((10, 16), (4, 4))
    assert plan.num_kept == 160 + 16


grids = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3)


@settings(max_examples=40)
@given(grids, st.integers(1, 20))
def test_pooled_tokens_stand_at_distinct_ascending_places_of_their_regions(found, side):
    plan = TokenFlex(probabilities={side**2: 1}).plan(image(*found))
    assert (np.diff(plan.kept) > 0).all()
    assert plan.num_kept == sum(rows * cols for rows, cols in plan.pools) <= len(found) * side**2
    assert plan.num_tokens == sum(rows * cols for rows, cols in found)


def test_what_is_small_has_many_tokens_and_what_is_everywhere_has_few():
    small, everywhere = np.zeros((24, 24), np.int64), np.full((24, 24), 200)
    small[12, 12] = 255
    assert TokenFlexByScores().count(image((24, 24), scores=small.ravel())) == 256
    assert TokenFlexByScores().count(image((24, 24), scores=everywhere.ravel())) == 64
    small[12:14, 12:14] = 255
    assert TokenFlexByScores().count(image((24, 24), scores=small.ravel())) == 144
    assert TokenFlexByScores().count(image((24, 24), scores=np.zeros(576, np.int64))) == 64
    assert TokenFlexByScores().needs == {"scores"}
    assert TokenFlexByScores().plan(image((24, 24), scores=small.ravel())).pools == ((12, 12),)


def test_a_detail_in_one_view_is_enough():
    scores = np.zeros(576 + 576, np.int64)
    scores[700] = 9
    assert TokenFlexByScores().count(image((24, 24), (24, 24), scores=scores)) == 256

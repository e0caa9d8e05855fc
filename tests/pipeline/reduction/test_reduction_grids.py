"""What a trainer does with plans on grids equals the formulas of the papers: windows, pools, expansion, slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.frame_pool import FramePool
from operators.reduction.hires_restore import HiresRestore
from operators.reduction.plan import ImageTokens
from operators.reduction.self_mining import SelfMining
from operators.reduction.tokenflex import TokenFlex
from operators.reduction.wico import WiCo, WiCoPlus
from pipeline.loading.reduction.expanding import expand, spread
from pipeline.loading.reduction.pools import pool
from pipeline.loading.reduction.restoring import SelfMiningSampler, SliceRestore, merge, raster_of, split
from pipeline.loading.reduction.windows import join

SLICED = ImageTokens(((24, 24),) * 5, ("whole",) + ("tile",) * 4, ((0, 0), (0, 0), (0, 1), (1, 0), (1, 1)))
VIEWS = [{"kind": kind, "row": row, "col": col} for kind, (row, col) in zip(SLICED.kinds, SLICED.places, strict=True)]


def image(*grids, **given):
    return ImageTokens(grids, ("whole",) * len(grids), ((0, 0),) * len(grids), **given)


def stored(plan):
    """A plan as a pack stores it."""

    def listed(name):
        value = getattr(plan, name)
        return None if value is None else value.tolist()

    def grids(value):
        return None if value is None else [{"rows": rows, "cols": cols} for rows, cols in value]

    return {
        "num_tokens": plan.num_tokens,
        "grids": grids(plan.grids),
        "pools": grids(plan.pools),
        "expand": None if plan.expand is None else {"layer": plan.expand[0], "tokens": plan.expand[1]},
        **{name: listed(name) for name in ("restore", "kept", "groups", "window")},
    }


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


def test_golden_windows_of_24_x_24_are_joined_channel_by_channel():
    plan = stored(WiCo().plan(image((24, 24))))
    one = torch.arange(576)[:, None]
    assert join(one, plan)[0].tolist() == [0, 1, 24, 25]
    two = torch.cat([one, one + 1000], 1)
    assert join(two, plan)[0].tolist() == [0, 1, 24, 25, 1000, 1001, 1024, 1025]
    assert join(two, plan).shape == (144, 8)


def test_windows_equal_the_formula_and_torchs_unfold():
    features = noise(576, 5)
    joined = join(features, stored(WiCo().plan(image((24, 24)))))
    raster = features.T.reshape(1, 5, 24, 24)
    unfolded = torch.nn.functional.unfold(raster, 2, stride=2)[0].T
    assert torch.equal(joined, unfolded)
    for d, i, j in np.ndindex(5, 2, 2):
        assert torch.equal(joined[:, d * 4 + i * 2 + j], raster[0, d, i::2, j::2].ravel())


def test_a_token_of_another_plan_is_an_error_in_one_line():
    with pytest.raises(ValueError, match="575 features; 576 expected"):
        join(noise(575, 2), stored(WiCo().plan(image((24, 24)))))
    with pytest.raises(ValueError, match="575 features; 576 expected"):
        pool(noise(575, 2), stored(FramePool().plan(image((24, 24)))))
    with pytest.raises(ValueError, match="575 features; 2880 expected"):
        merge(noise(575, 2), stored(HiresRestore().plan(SLICED)))


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_any_window_equals_unfold(rows, cols, high, wide):
    features = noise(rows * high * cols * wide, 3)
    joined = join(features, stored(WiCo(window=(high, wide)).plan(image((rows * high, cols * wide)))))
    raster = features.T.reshape(1, 3, rows * high, cols * wide)
    assert torch.equal(joined, torch.nn.functional.unfold(raster, (high, wide), stride=(high, wide))[0].T)


def test_golden_144_numbers_spread_over_576_keep_their_ends_and_equal_steps():
    found = spread(torch.arange(144, dtype=torch.float64)[:, None], 576)[:, 0]
    assert (found[0], found[-1]) == (0, 143)
    assert found.diff().tolist() == pytest.approx([143 / 575] * 575)


def test_an_expanded_sequence_has_its_positions_labels_and_segments():
    plan = stored(WiCoPlus().plan(image((4, 4))))
    hidden, labels = noise(15, 2), torch.arange(100, 115)
    segment_ids = torch.tensor([0] * 7 + [1] * 6 + [-1] * 2)
    expanded = expand(hidden, labels, segment_ids, [(2, plan), (8, plan)])
    assert expanded.hidden.shape == (15 + 2 * 12, 2)
    assert torch.equal(expanded.hidden[2:18], spread(hidden[2:6], 16))
    assert torch.equal(expanded.hidden[[0, 1, 18, 19, 36, 37, 38]], hidden[[0, 1, 6, 7, 12, 13, 14]])
    assert expanded.labels.tolist() == [100, 101, *[-100] * 16, 106, 107, *[-100] * 16, 112, 113, 114]
    assert expanded.segment_ids.tolist() == [0] * 19 + [1] * 18 + [-1] * 2
    assert expanded.position_ids.tolist() == [*range(19), *range(18), 0, 1]
    assert expanded.cu_seqlens.tolist() == [0, 19, 37, 39]


def test_golden_an_image_of_wico_plus_has_its_576_places_again():
    plan = stored(WiCoPlus().plan(image((24, 24))))
    expanded = expand(
        noise(154, 2), torch.zeros(154, dtype=torch.long), torch.zeros(154, dtype=torch.long), [(5, plan)]
    )
    assert len(expanded.hidden) == 154 + 432
    assert expanded.position_ids.tolist() == list(range(586))
    assert (expanded.labels == -100).sum() == 576


@pytest.mark.parametrize("starts", [[12], [2, 5], [-1]])
def test_an_image_that_does_not_fit_is_an_error(starts):
    plan = stored(WiCoPlus().plan(image((4, 4))))
    ids = torch.zeros(15, dtype=torch.long)
    with pytest.raises(ValueError, match="an image of 4 tokens at"):
        expand(noise(15, 2), ids, ids, [(start, plan) for start in starts])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=3), st.integers(1, 9))
def test_pools_equal_torchs_and_have_the_planned_number(grids, side):
    plan = TokenFlex(probabilities={side**2: 1}).plan(image(*grids))
    features = noise(plan.num_tokens, 3).double()
    pooled = pool(features, stored(plan))
    assert pooled.shape == (plan.num_kept, 3)
    start = done = 0
    for (rows, cols), (high, wide) in zip(plan.grids, plan.pools, strict=True):
        view = features[start : start + rows * cols].reshape(rows, cols, 3).permute(2, 0, 1)
        expected = torch.nn.functional.adaptive_avg_pool2d(view, (high, wide)).permute(1, 2, 0).reshape(-1, 3)
        torch.testing.assert_close(pooled[done : done + high * wide], expected)
        start, done = start + rows * cols, done + high * wide


def test_golden_100_frames_are_pooled_to_25_tokens_each():
    plan = stored(FramePool().plan(image((24, 24), count=100)))
    assert pool(noise(576, 4), plan).shape == (25, 4)


def test_slices_are_merged_and_split_bit_by_bit():
    plan = stored(HiresRestore().plan(SLICED))
    features = noise(2880, 3)
    merged = merge(features, plan)
    assert torch.equal(split(merged, plan), features)
    assert torch.equal(merged[:576], features[:576])
    assert torch.equal(merged[576 + 24 * 48], features[576 + 2 * 576])
    assert raster_of(plan, VIEWS) == (576, 48, 48)
    alone = stored(HiresRestore().plan(image((24, 24))))
    assert merge(features, alone) is features is split(features, alone)


def test_an_untrained_adapter_changes_nothing_and_a_trained_one_looks_across_the_seam():
    plan = stored(HiresRestore().plan(SLICED))
    features = noise(2880, 8)
    adapter = SliceRestore(8)
    assert torch.equal(adapter(features, plan, VIEWS), features)
    torch.nn.init.eye_(adapter.added.weight)
    with torch.no_grad():
        adapter.far.out_proj.weight.zero_()
        moved = features.clone()
        seam = 576 + 23  # the last token of the first row of slice (0, 0)
        moved[seam] += 1
        changed = (adapter(moved, plan, VIEWS) != adapter(features, plan, VIEWS)).any(1).nonzero()[:, 0].tolist()
    across = 576 + 576  # the first token of slice (0, 1)
    assert changed == [seam - 1, seam, seam + 23, seam + 24, across, across + 24]


def test_an_untrained_sampler_is_the_mean_of_each_region_and_a_trained_one_asks_it_alone():
    plan = stored(SelfMining().plan(image((8, 12))))
    features = noise(96, 8)
    sampler = SelfMiningSampler(8)
    expected = torch.nn.functional.avg_pool2d(features.T.reshape(1, 8, 8, 12), 4)[0].flatten(1).T
    torch.testing.assert_close(sampler(features, plan), expected)
    torch.nn.init.eye_(sampler.added.weight)
    with torch.no_grad():
        moved = features.clone()
        moved[0] += 1
        changed = (sampler(moved, plan) - sampler(features, plan)).abs().amax(1) > 1e-4
    assert changed.tolist() == [True, *[False] * 5]
    with pytest.raises(ValueError, match="in equal regions expected"):
        sampler(features[:95], plan)


def test_golden_2304_tokens_of_a_raster_become_144():
    plan = stored(SelfMining().plan(ImageTokens(((48, 48),), ("tile",), ((0, 0),))))
    assert SelfMiningSampler(4)(noise(2304, 4), plan).shape == (144, 4)

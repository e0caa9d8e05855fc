"""WiCo's windows partition each view's grid, and a grid that they do not divide is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.plan import ImageTokens
from operators.reduction.wico import WiCo, WiCoPlus
from pipeline.errors import InputError


def image(*grids):
    return ImageTokens(grids, ("whole",) * len(grids), tuple((0, place) for place in range(len(grids))))


def test_golden_windows_of_24_x_24():
    plan = WiCo().plan(image((24, 24)))
    assert plan.window.shape == (144, 4)
    assert plan.window[0].tolist() == [0, 1, 24, 25]
    assert plan.window[-1].tolist() == [550, 551, 574, 575]
    assert plan.num_kept == 144
    assert (plan.kept == plan.window[:, 0]).all()
    assert plan.expand is None


def test_a_window_of_four_in_a_row_is_the_baseline_of_four_raster_tokens():
    assert (WiCo(window=(1, 4)).plan(image((24, 24))).window == np.arange(576).reshape(144, 4)).all()


def test_wico_plus_spreads_144_over_576_at_layer_30():
    plan = WiCoPlus().plan(image((24, 24)))
    assert (plan.methods, plan.num_kept, plan.expand) == (("wico_plus",), 144, (30, 576))
    assert (plan.window == WiCo().plan(image((24, 24))).window).all()


@pytest.mark.parametrize("grid", [(27, 27), (24, 25), (23, 24), (1, 1)])
def test_grid_that_a_window_does_not_divide_is_refused_in_one_line(grid):
    with pytest.raises(InputError) as caught:
        WiCo().plan(image((24, 24), grid))
    assert caught.value.reason == "reduction-grid"
    assert caught.value.detail == WiCo().refuses(*grid)
    assert f"{grid[0]} x {grid[1]} tokens" in caught.value.detail
    assert "\n" not in caught.value.detail
    assert WiCo().refuses(24, 24) is None


def test_reference_has_a_kernel_of_its_window_just_where_the_output_divides_the_grid():
    for side in range(1, 40):
        for out in range(1, side + 1):
            kernel = side - (out - 1) * (side // out)
            is_sound = kernel**2 == int((side / out) ** 2)
            assert is_sound == (side % out == 0)
            if is_sound:
                assert WiCo(window=(kernel, kernel)).plan(image((side, side))).num_kept == out**2


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
    st.tuples(*[st.integers(1, 3)] * 2),
)
def test_windows_partition_the_tokens_and_kept_ascend(blocks, window):
    grids = [(rows * window[0], cols * window[1]) for rows, cols in blocks]
    plan = WiCo(window=window).plan(image(*grids))
    assert sorted(plan.window.ravel().tolist()) == list(range(plan.num_tokens))
    assert (np.diff(plan.kept) > 0).all()
    assert (plan.window[:, 0] == plan.kept).all()
    assert plan.num_kept == sum(rows * cols for rows, cols in blocks)


def test_wico_plus_refuses_an_image_whose_tokens_stand_apart():
    tokens = ImageTokens(((24, 24),), ("whole",), ((0, 0),), has_marks=True)
    with pytest.raises(InputError, match="wico would do") as caught:
        WiCoPlus().plan(tokens)
    assert caught.value.reason == "reduction-grid"
    assert WiCo().plan(tokens).num_kept == 144

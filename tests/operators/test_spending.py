"""A region's tokens are spent on the partition that loses least, found exactly, and never beyond a budget."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.spending import BAND_CELLS, CHEAPEST, RESAMPLED, SEGMENT_CELLS, VIEW_TOKENS, Region, together, within

SCALES = (0.8, 0.5, 0.2)
FLOATS = 1e-5
"""Losses and costs are kept in float32."""

rising = st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
    lambda shape: arrays(np.uint8, (3, *shape)).map(lambda codes: codes.cumsum(axis=0).astype(float))
)
"""Losses that grow as the scale falls, [3, rows, cols]."""
prices = st.floats(0, 1000)


def partitions(length, longest):
    """All ways to cut a side into parts, as borders."""
    for cuts in product([False, True], repeat=length - 1):
        borders = [0, *(i + 1 for i, is_cut in enumerate(cuts) if is_cut), length]
        if all(end - start <= longest for start, end in pairwise(borders)):
            yield borders


def way(losses, cells, extent, scale):
    """(cost, loss) of one segment rendered at one scale, by the book."""
    top, left, bottom, right = cells
    _, rows, cols = losses.shape
    tokens, linear = [], []
    for start, end, count, size in ((top, bottom, rows, extent[0]), (left, right, cols, extent[1])):
        tokens.append(max(1, int((end - start) * scale + 0.5)))
        linear.append(tokens[-1] / (end - start + (size - count if end == count else 0)))
    real = (min(linear) + (linear[0] * linear[1]) ** 0.5) / 2
    real = 1 if linear == [1, 1] else min(real, RESAMPLED)
    known = [0.0, *losses[:, top:bottom, left:right].sum(axis=(1, 2))]
    lost = float(np.interp(-real, [-1.0, *(-scale for scale in SCALES)], known))
    return tokens[0] * tokens[1] + VIEW_TOKENS, lost


def least(losses, extent, price):
    """Loss + price x cost of the best partition, by trying all of them."""
    _, rows, cols = losses.shape

    def segment(*cells):
        found = (way(losses, cells, extent, scale) for scale in (1, *SCALES))
        return min(lost + price * cost for cost, lost in found)

    def band(top, bottom):
        return min(
            sum(segment(top, left, bottom, right) for left, right in pairwise(borders))
            for borders in partitions(cols, SEGMENT_CELLS)
        )

    bands = {span: band(*span) for span in product(range(rows + 1), repeat=2) if span[0] < span[1]}
    return min(sum(bands[span] for span in pairwise(borders)) for borders in partitions(rows, rows))


def tiles_once(pieces, rows, cols):
    """Whether the pieces cover each cell once."""
    covered = np.zeros((rows, cols), int)
    for piece in pieces:
        top, left, bottom, right = piece.cells
        covered[top:bottom, left:right] += 1
    return bool((covered == 1).all())


@settings(max_examples=40, deadline=None)
@given(rising, prices)
def test_partition_tiles_the_region_in_raster_order_of_bands(losses, price):
    _, rows, cols = losses.shape
    found = Region(losses, SCALES, (rows, cols)).at(price)
    (pieces,) = found.pieces
    assert tiles_once(pieces, rows, cols)
    assert [piece.cells[:2] for piece in pieces] == sorted(piece.cells[:2] for piece in pieces)
    assert len({(piece.cells[0], piece.cells[2]) for piece in pieces}) == len({piece.cells[0] for piece in pieces})
    assert found.tokens == sum(piece.rows * piece.cols for piece in pieces)
    assert found.cost == pytest.approx(found.tokens + VIEW_TOKENS * len(pieces), rel=FLOATS)
    for piece in pieces:
        top, left, bottom, right = piece.cells
        assert 1 <= piece.rows <= bottom - top
        assert 1 <= piece.cols <= right - left
        assert right - left <= SEGMENT_CELLS
        assert bottom - top <= BAND_CELLS or (top, bottom) == (0, rows)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1, 1), (1, 5), (2, 3), (3, 2), (4, 1), (3, 4)]),
    st.floats(0, 200),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0.0, 0.0), (0.4, 0.0), (-0.5, 0.25)]),
)
def test_partition_is_the_best_of_all(shape, price, seed, excess):
    losses = np.random.default_rng(seed).uniform(0, 100, (3, *shape)).cumsum(axis=0)
    extent = (shape[0] + excess[0], shape[1] + excess[1])
    found = Region(losses, SCALES, extent).at(price)
    (pieces,) = found.pieces
    assert found.loss + price * found.cost == pytest.approx(least(losses, extent, price), rel=FLOATS, abs=1e-3)
    told = [
        min(
            (way(losses, piece.cells, extent, scale) for scale in (1, *SCALES)),
            key=lambda found, piece=piece: abs(found[0] - piece.rows * piece.cols - VIEW_TOKENS),
        )
        for piece in pieces
    ]
    assert sum(lost for _, lost in told) == pytest.approx(found.loss, rel=FLOATS, abs=1e-3)


def test_without_a_price_nothing_is_lost_and_at_the_highest_nothing_else_counts():
    losses = np.ones((3, 6, 9)).cumsum(axis=0)
    region = Region(losses, SCALES, (6, 9))
    assert (region.at(0).tokens, region.at(0).loss) == (54, 0)
    assert region.at(CHEAPEST).tokens == 2  # 6 x .2 rounds to 1 token, 9 x .2 to 2


def test_what_is_not_copied_pixel_for_pixel_loses_as_much_as_resampling_does():
    losses = np.full((3, 1, 4), 10.0).cumsum(axis=0)
    copied, stretched = (Region(losses, SCALES, (1, cols)).at(0) for cols in (4, 4.01))
    assert copied.loss == 0
    assert copied.tokens == stretched.tokens == 4
    # The last cell's hundredth makes its view one that is resampled: .95 is a quarter of the way to .8.
    assert stretched.loss == pytest.approx(10 * 0.25, rel=FLOATS)
    assert [piece.cells for piece in stretched.pieces[0]][-1] == (0, 3, 1, 4)


def test_last_cell_without_excess_is_as_any_other():
    losses = np.random.default_rng(1).uniform(0, 50, (3, 5, 7)).cumsum(axis=0)
    turned = losses[:, ::-1, ::-1]
    for price in (0.3, 3.0, 30.0):
        one, other = (Region(cells, SCALES, (5, 7)).at(price) for cells in (losses, turned))
        assert one.loss + price * one.cost == pytest.approx(other.loss + price * other.cost, rel=FLOATS)


def test_bands_and_segments_are_no_longer_than_their_limits():
    rows = cols = 2 * SEGMENT_CELLS + 1
    flat = np.zeros((2, rows, cols))
    coarse = (0.5, 0.05)  # the longest segment still takes one token
    (pieces,) = Region(flat, coarse, (rows, cols)).at(1).pieces
    assert max(piece.cells[2] - piece.cells[0] for piece in pieces) <= BAND_CELLS
    assert max(piece.cells[3] - piece.cells[1] for piece in pieces) <= SEGMENT_CELLS
    assert len(pieces) == -(-rows // BAND_CELLS) * -(-cols // SEGMENT_CELLS)


def test_band_of_a_whole_region_may_be_taller():
    flat = np.zeros((2, SEGMENT_CELLS, SEGMENT_CELLS))
    ((piece,),) = Region(flat, (0.5, 0.05), (SEGMENT_CELLS, SEGMENT_CELLS)).at(1).pieces
    assert (piece.cells, piece.rows, piece.cols) == ((0, 0, SEGMENT_CELLS, SEGMENT_CELLS), 1, 1)


def test_tokens_go_where_something_would_be_lost():
    losses = np.zeros((3, 8, 20))
    losses[:, 2:4, 5:15] = np.array([40, 200, 900])[:, None, None]
    (pieces,) = within(Region(losses, SCALES, (8, 20)).at, 40).pieces
    kept = [piece for piece in pieces if (piece.rows, piece.cols) == (2, 10)]
    assert [piece.cells for piece in kept] == [(2, 5, 4, 15)]
    assert sum(piece.rows * piece.cols for piece in pieces if piece not in kept) <= 20


@settings(max_examples=40, deadline=None)
@given(rising, st.integers(1, 900))
def test_budget_is_never_exceeded_where_any_partition_keeps_it(losses, budget):
    region = Region(losses, SCALES, losses.shape[1:])
    found = within(region.at, budget)
    fewest = region.at(CHEAPEST).tokens
    assert found.tokens <= max(budget, fewest)
    assert tiles_once(found.pieces[0], *losses.shape[1:])
    if losses[0].size <= budget:
        assert found.loss == 0


@settings(max_examples=40, deadline=None)
@given(rising, st.integers(1, 900), st.lists(st.floats(0.01, 300), min_size=1, max_size=8))
def test_what_is_spent_within_a_budget_lies_on_the_hull(losses, budget, others):
    region = Region(losses, SCALES, losses.shape[1:])
    found = within(region.at, budget)
    ends = [region.at(0.0), region.at(CHEAPEST), *(region.at(price) for price in others)]
    # No two other partitions have a mean that is as dear and loses less.
    for low, high in product(ends, ends):
        if low.cost < found.cost < high.cost:
            share = (found.cost - low.cost) / (high.cost - low.cost)
            assert found.loss <= low.loss + share * (high.loss - low.loss) + 1e-3 * max(1, low.loss)
    # And none that costs no more than the budget loses less.
    assert not any(end.cost <= budget and end.loss < found.loss - 1e-3 * max(1, end.loss) for end in ends)


def test_more_tokens_never_lose_more():
    losses = np.random.default_rng(3).uniform(0, 100, (3, 12, 15)).cumsum(axis=0)
    region = Region(losses, SCALES, (12, 15))
    lost = [within(region.at, budget).loss for budget in range(4, 181, 8)]
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] == 0


def test_regions_that_pay_one_price_are_each_at_their_best():
    draw = np.random.default_rng(4)
    regions = [Region(draw.uniform(0, 100, (3, rows, 6)).cumsum(axis=0), SCALES, (rows, 6)) for rows in (4, 7)]
    alone, both = [region.at(2.5) for region in regions], together(regions)(2.5)
    assert both.pieces == (alone[0].pieces[0], alone[1].pieces[0])
    assert both.tokens == alone[0].tokens + alone[1].tokens
    assert both.loss == alone[0].loss + alone[1].loss
    assert within(together(regions), 40).tokens <= 40


def test_same_losses_give_the_same_partition_again():
    losses = np.random.default_rng(5).uniform(0, 100, (3, 20, 20)).cumsum(axis=0)
    assert within(Region(losses, SCALES, (20, 20)).at, 144) == within(Region(losses.copy(), SCALES, (20, 20)).at, 144)

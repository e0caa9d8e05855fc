"""Boxes that seams cut are counted, and the grid that cuts the fewest is found among those of as many slices."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.seams import least_cutting_grid, seam_crossings, slices_of
from operators.slicing.grids import closest_grid, grid_tiles


def test_golden_an_entity_at_the_centre_is_cut_into_four_and_one_in_a_corner_is_not():
    assert slices_of((300, 300, 372, 372), 672, 672, (2, 2)) == 4
    assert slices_of((300, 10, 372, 82), 672, 672, (2, 2)) == 2
    assert slices_of((10, 10, 82, 82), 672, 672, (2, 2)) == 1
    boxes = [(300, 300, 372, 372), (10, 10, 82, 82)]
    assert seam_crossings(boxes, 672, 672, (2, 2)) == 1
    assert seam_crossings([], 672, 672, (2, 2)) == 0


def test_a_box_that_ends_at_a_seam_is_not_cut():
    assert seam_crossings([(0, 0, 336, 336), (336, 336, 672, 672)], 672, 672, (2, 2)) == 0
    assert seam_crossings([(0, 0, 337, 336)], 672, 672, (2, 2)) == 1


def test_a_line_of_text_across_the_middle_asks_for_slices_one_above_the_other():
    lines = [(10, top, 650, top + 20) for top in (20, 200, 380, 560)]
    assert closest_grid(672, 672, 336, 1, 4) == (2, 2)
    assert least_cutting_grid(lines, 672, 672, 336, 1, 4) == (1, 4)
    assert least_cutting_grid([], 672, 672, 336, 1, 4) == (2, 2)


boxes = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 40), st.integers(1, 40)).map(
        lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
    ),
    max_size=5,
)


@settings(max_examples=40)
@given(boxes, st.integers(130, 900), st.integers(130, 900), st.integers(1, 12))
def test_no_grid_of_as_many_slices_cuts_fewer(found, width, height, most):
    best = least_cutting_grid(found, width, height, 64, 1, most)
    closest = closest_grid(width, height, 64, 1, most)
    assert best[0] * best[1] == closest[0] * closest[1]
    count = best[0] * best[1]
    cuts = [seam_crossings(found, width, height, (c, count // c)) for c in range(1, count + 1) if count % c == 0]
    assert seam_crossings(found, width, height, best) == min(cuts)
    if seam_crossings(found, width, height, closest) == min(cuts):
        assert best == closest


@settings(max_examples=40)
@given(st.integers(12, 200), st.integers(12, 200), st.integers(1, 4), st.integers(1, 4), boxes)
def test_slices_are_those_that_are_drawn(width, height, cols, rows, found):
    _, views = grid_tiles(width, height, (cols, rows), 28, 14)
    for box in found:
        shared = sum(
            box[0] < view.box[2] and view.box[0] < box[2] and box[1] < view.box[3] and view.box[1] < box[3]
            for view in views
        )
        assert slices_of(box, width, height, (cols, rows)) == shared

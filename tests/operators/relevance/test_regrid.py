"""A grid laid over a scene says how much of each object each region holds."""

import numpy as np

from operators.relevance import REGION
from operators.relevance.crop import grid
from operators.relevance.regrid import HOLDS, SEEN, regrid, shares_of
from operators.relevance.scenes import COLOURS, make_scene


def test_shares_are_the_parts_of_a_box_by_hand():
    box = np.array([[0.4, 0.1, 0.6, 0.3], [0.0, 0.0, 0.1, 0.1]])
    assert np.allclose(shares_of(box, grid(2, 2)), [[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    assert np.allclose(shares_of(box, grid(1, 1)), [[1], [1]])


def test_a_scenes_boxes_lie_in_their_cells_and_hold_the_objects_colour():
    rng = np.random.default_rng(5)
    for _ in range(40):
        scene = make_scene(rng)
        assert scene.boxes.shape == (len(scene.things), 4)
        cells = [thing.cell for thing in scene.things]
        assert np.allclose(shares_of(scene.boxes, scene.places())[range(len(cells)), cells], 1)
        height, width = scene.picture.shape[:2]
        for thing, box in zip(scene.things, scene.boxes, strict=True):
            left, top, right, bottom = np.round(box * [width, height, width, height]).astype(int)
            part = scene.picture[top:bottom, left:right].astype(int)
            is_it = np.abs(part - COLOURS[thing.colour]).max(axis=2) <= 45
            tall, wide = (max(1, side // 4) for side in is_it.shape)
            assert is_it[:tall].any()
            assert is_it[-tall:].any()
            assert is_it[:, :wide].any()
            assert is_it[:, -wide:].any()


def test_a_cut_grid_holds_each_object_that_is_asked_for():
    rng = np.random.default_rng(6)
    counts = set()
    for _ in range(60):
        scene = make_scene(rng)
        regions, places, shares = regrid(scene, rng)
        assert regions.shape == (len(places), REGION, REGION, 3)
        assert shares.shape == (len(scene.things), len(places))
        assert (places >= 0).all()
        assert (places <= 1).all()
        for row in shares:
            assert not row.any() or SEEN <= row.sum() <= 1.0001
            assert (row[row > 0] >= HOLDS).all()
        counts |= set((shares > 0).sum(axis=1).tolist())
    assert counts >= {1, 2, 4}  # objects in one region, across a border and across a corner


def test_it_comes_from_the_generator_alone():
    def drawn():
        rng = np.random.default_rng(7)
        return regrid(make_scene(rng), rng)

    for one, two in zip(drawn(), drawn(), strict=True):
        assert np.array_equal(one, two)

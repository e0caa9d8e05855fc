"""Tokens have what the regions at their place have; another query changes their order."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from operators.reduction.features import token_boxes
from operators.reduction.plan import sorted_order
from operators.reduction.scores import BELOW, CELLS, between, cell_scores, ranked, spread, token_scores
from operators.relevance.crop import grid
from operators.relevance.participatory import open_encoder
from operators.slicing.regions import REGION_SIDE


def view(kind, row, col, box, rows, cols):
    return {"kind": kind, "row": row, "col": col, "box": box, "rows": rows, "cols": cols, "height": 28, "width": 28}


def plan_of(*views, scheme="internvl"):
    grid = {"grid_h": 2 * REGION_SIDE, "grid_w": 2 * REGION_SIDE}
    return {"scheme": scheme, "width": 80, "height": 60, "canvas": None, "views": list(views)} | grid


def scores(plan, participatory, combined=()):
    relevance = {"participatory": participatory, "combined": list(combined)}
    boxes = token_boxes(plan)
    return token_scores(plan, relevance, boxes, np.zeros(len(boxes), np.int64)) // BELOW


REGIONS = plan_of(
    view("region", 0, 0, [0, 0, 40, 30], 2, 2),
    view("region", 0, 1, [40, 0, 80, 30], 2, 4),
    view("region", 1, 0, [0, 30, 40, 60], 1, 1),
    view("region", 1, 1, [40, 30, 80, 60], 1, 2),
    scheme="qwen",
)


def test_between_the_centres_of_regions_values_change_evenly():
    found = scores(REGIONS, [0, 80, 0, 80])
    assert found.tolist() == [0, 20, 0, 20, 50, 70, 80, 80, 50, 70, 80, 80, 0, 60, 80]
    down = scores(REGIONS, [100, 100, 0, 0])
    assert down.tolist() == [100, 100, 75, 75, *[100] * 4, *[75] * 4, 0, 0, 0]


def test_a_region_of_several_views_has_the_value_of_the_region():
    first = [view("region", 0, 0, [0, 0, 40, 15], 1, 2), view("region", 0, 0, [0, 15, 40, 30], 2, 2)]
    plan = plan_of(*first, *REGIONS["views"][1:], scheme="qwen")
    assert scores(plan, [0, 80, 0, 80]).tolist() == [0, 20, 0, 20, 0, 20, 50, 70, 80, 80, 50, 70, 80, 80, 0, 60, 80]
    assert scores(plan_of(*first, scheme="qwen"), [7]).tolist() == [7] * 6


def test_without_a_query_the_combined_map_ranks():
    assert scores(REGIONS, None, [7, 7, 7, 7]).tolist() == [7] * 15


def test_tokens_of_the_whole_view_have_what_the_tiles_at_their_place_have():
    tiles = plan_of(
        view("whole", 0, 0, [0, 0, 80, 60], 1, 4),
        view("tile", 0, 0, [0, 0, 40, 60], 1, 1),
        view("tile", 0, 1, [40, 0, 80, 60], 1, 1),
    )
    assert scores(tiles, [255, 0, 80]).tolist() == [0, 20, 60, 80, 0, 80]


def test_one_view_and_frames_have_one_value_each():
    assert scores(plan_of(view("whole", 0, 0, [0, 0, 80, 60], 2, 1)), [9]).tolist() == [9, 9]
    frames = [view("frame", 0, 0, [0, 0, 80, 60], 1, 2) for _ in range(2)]
    assert scores(plan_of(*frames), [9, 3]).tolist() == [9, 9, 3, 3]


def test_of_equals_the_more_salient_token_is_first():
    found = ranked(np.array([3, 4, 3, 4]), np.array([9, 1, 8, BELOW * 5]))
    assert sorted_order(found).tolist() == [3, 1, 0, 2]


def test_values_beyond_the_outermost_centres_stay():
    corners = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5]], np.float64)
    assert spread(np.array([0, 10, 20, 31]), (2, 2), corners).tolist() == [0, 31, 15]
    one = between(np.array([[5]]), np.array([0.5]), np.array([0.5]), corners)
    assert one.tolist() == [5, 5, 5]


@pytest.fixture(scope="module")
def encoder():
    """On one thread, as in an actor of a busy machine: there two take ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield open_encoder(None, "cpu")
    torch.set_num_threads(before)


def shapes():
    picture = Image.new("RGB", (480, 480), (235, 235, 235))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 20, 140, 140), fill=(220, 20, 20))
    draw.rectangle((340, 340, 460, 460), fill=(20, 20, 220))
    return picture


def test_another_query_changes_the_order_of_a_picture_of_one_view(encoder):
    texts = ["a red circle", "a blue square", ""]
    red, blue, nothing = cell_scores(encoder, shapes(), texts, CELLS)
    assert red.shape == (36,)
    assert not nothing.any()
    boxes = grid(24, 24).astype(np.float64)
    orders = [sorted_order(spread(values, CELLS, boxes)) for values in (red, blue)]
    assert orders[0].tolist() != orders[1].tolist()
    for order, is_there in zip(orders, (np.less, np.greater_equal), strict=True):
        rows, cols = np.divmod(order[:16], 24)
        assert is_there(rows, 12).all()
        assert is_there(cols, 12).all()


def test_a_text_has_the_same_row_whatever_stands_beside_it(encoder):
    alone = cell_scores(encoder, shapes(), ["a red circle"], (3, 4))
    beside = cell_scores(encoder, shapes(), ["a menu", "a red circle", "text"], (3, 4))
    assert alone.shape == (1, 12)
    assert np.array_equal(alone[0], beside[1])

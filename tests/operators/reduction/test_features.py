"""What a token shows says how alike two tokens look, in integers; and where in its picture each token lies."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest

from operators.profiles import load_profile
from operators.reduction.cosines import LARGEST, ONE, cosines, tamed
from operators.reduction.features import BLOCKS, COMMON, salience, texture, token_boxes
from operators.relevance.crop import grid
from tests.operators.reduction.merging_made import constant, noise, of_picture


def test_a_constant_picture_shows_the_same_everywhere():
    for shade in (0, 90, 128, 255):
        image = of_picture(np.full((90, 70, 3), shade, np.uint8), 7, 5)
        assert (cosines(image.features, image.features) == ONE).all()
        assert not image.salience.any()


def test_tokens_of_noise_look_like_no_other():
    image = of_picture(noise())
    found = cosines(image.features, image.features)
    apart = found[~np.eye(576, dtype=bool)] / ONE
    assert apart.max() < 0.8
    assert apart.mean() < 0.3
    assert (np.diag(found) == ONE).all()


def test_flat_tokens_are_as_alike_as_their_colours():
    picture = np.zeros((10, 50, 3), np.uint8)
    for number, colour in enumerate([(100, 100, 100), (150, 150, 150), (255, 255, 255), (0, 0, 0), (255, 0, 0)]):
        picture[:, 10 * number : 10 * number + 10] = colour
    shown = of_picture(picture, 1, 5).features
    grey = cosines(shown, shown)[0] / ONE
    assert grey[0] == 1 > grey[1] > 0.7 > grey[2] > 0 > cosines(shown, shown)[2, 3] / ONE
    assert grey[4] < 0.7
    assert shown.shape == (5, BLOCKS**2 + 4)
    assert (shown[:, 0] == COMMON).all()


def test_edges_and_odd_colours_stand_out():
    picture = constant(80)
    picture[0:10:2, 0:10] = 255
    picture[40:50, 40:50] = (255, 0, 0)
    found = of_picture(picture, 8, 8).salience.reshape(8, 8)
    assert set(np.argsort(-found.ravel())[:2]) == {0, 36}


def test_values_are_the_same_wherever_they_are_computed():
    """Integers from a fixed picture: any other library, or machine, must come to the same."""
    row, col = np.mgrid[:64, :96]
    picture = np.stack([row * 3 % 256, col * 5 % 256, (row * col) % 256], axis=2).astype(np.uint8)
    boxes = grid(5, 7).astype(np.float64)
    shown = texture(picture[:, :, 1], picture[::2, ::2], boxes)
    stand = salience(picture[:, :, 1], picture[::2, ::2], boxes)
    digest = hashlib.sha256(shown.astype("<i8").tobytes() + stand.astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "7b4b4490bb11bcb1"


def test_a_block_of_a_token_is_its_mean_shade():
    picture = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    shown = texture(picture, np.zeros((4, 4, 3), np.uint8), np.array([[0.25, 0.5, 0.75, 1.0]]))
    blocks = picture[32:64, 16:48].reshape(8, 4, 8, 4).astype(int).sum(axis=(1, 3)) // 16
    shade = blocks.sum() // 64
    assert shown[0, 4:].tolist() == ((blocks - shade) // 2).ravel().tolist()
    assert shown[0, 1] == shade - 128


def test_cosines_are_exact_for_multiples_and_bounded_for_any_integers():
    rng = np.random.default_rng(2)
    for most in (1, 9, 2**15, 2**50):
        features = tamed(rng.integers(-most, most + 1, (40, 12)))
        assert (features * features).sum(axis=1).max() <= LARGEST
        found = cosines(features, features)
        assert np.abs(found).max() <= ONE
        floats = features / np.maximum(1e-9, np.linalg.norm(features, axis=1))[:, None]
        assert np.abs(found / ONE - floats @ floats.T).max() < 1e-6
    assert cosines(np.array([[2, 3, 5]]), np.array([[4, 6, 10], [-2, -3, -5], [0, 0, 0]])).tolist() == [[ONE, -ONE, 0]]


def planned(name, width, height):
    profile = load_profile(name)
    return asdict(profile.slicing.plan(width, height, profile.tokens.by_role()))


@pytest.mark.parametrize(
    "name",
    ["qwen2_vl", "internvl", "llava_1_5", "llava_next", "llava_onevision", "idefics3", "llama4", "phi3_5_v", "vit"],
)
@pytest.mark.parametrize("size", [(640, 480), (300, 1100)])
def test_boxes_of_a_views_tokens_cover_what_it_shows_once(name, size):
    plan = planned(name, *size)
    boxes = token_boxes(plan)
    assert len(boxes) == sum(view["rows"] * view["cols"] for view in plan["views"])
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert (areas > -1e-12).all()
    tiles = [view["kind"] != "whole" for view in plan["views"] for _ in range(view["rows"] * view["cols"])]
    whole = ~np.array(tiles)
    if any(tiles):
        assert areas[~whole].sum() == pytest.approx(1)
    if whole.any() and name != "vit":  # which crops the middle
        assert areas[whole].sum() == pytest.approx(1)


def test_a_picture_on_a_padded_canvas_has_its_tokens_in_the_middle():
    """LLaVA-1.5 pads 336x168 to a square: of 24 rows the outer six on each side show nothing of it."""
    boxes = token_boxes(planned("llava_1_5", 336, 168)).reshape(24, 24, 4)
    heights = boxes[:, 0, 3] - boxes[:, 0, 1]
    assert heights.tolist() == pytest.approx([0] * 6 + [1 / 12] * 12 + [0] * 6)


def test_regions_are_where_their_boxes_say():
    view = {"kind": "region", "row": 0, "col": 1, "box": [50, 0, 100, 40], "height": 56, "width": 84, "rows": 2}
    plan = {"scheme": "qwen", "width": 100, "height": 80, "canvas": None, "views": [view | {"cols": 2}]}
    assert token_boxes(plan).tolist() == [
        [0.5, 0, 0.75, 0.25],
        [0.75, 0, 1, 0.25],
        [0.5, 0.25, 0.75, 0.5],
        [0.75, 0.25, 1, 0.5],
    ]

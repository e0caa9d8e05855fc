"""Generated scenes: the same for a seed, and every query fits one object, judged by its words alone."""

import re
from functools import cache

import numpy as np
import pytest

from operators.relevance import REGION
from operators.relevance.drawing import CANVAS, FONTS, SHAPES, shape_mask, word_mask
from operators.relevance.phrases import KINDS, positions
from operators.relevance.scenes import COLOURS, FILLS, SIZES, WORDS, make_scene


@cache
def scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [make_scene(rng) for _ in range(count)]


def readings(text, scene):
    """Cells of the objects that fit a text, by the vocabulary and its own idea of where a cell is."""
    words = re.findall(r"\w+", text)
    return [thing.cell for thing in scene.things if all(fits(word, thing, scene) for word in words)]


def fits(word, thing, scene):
    y, x = (thing.cell // scene.cols + 0.5) / scene.rows, (thing.cell % scene.cols + 0.5) / scene.cols
    sides = {"top": y <= 0.25, "bottom": y >= 0.75, "left": x <= 0.25, "right": x >= 0.75, "middle": x == y == 0.5}
    if word in sides:
        return sides[word]
    for names, trait in ((COLOURS, "colour"), ((*SHAPES, "word"), "shape"), (SIZES, "size"), (FILLS, "fill")):
        if word in names:
            return getattr(thing, trait) == word
    return thing.word == word if word in WORDS else True


def test_a_seed_gives_the_same_scenes_and_another_gives_others():
    first, again, other = scenes(20), scenes.__wrapped__(20), scenes(20, seed=1)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.picture, two.picture)
        assert (one.things, one.queries) == (two.things, two.queries)
    assert not any(
        one.picture.shape == two.picture.shape and np.array_equal(one.picture, two.picture)
        for one, two in zip(first, other, strict=True)
    )


def test_every_query_fits_its_object_and_no_other():
    seen = dict.fromkeys(KINDS, 0)
    for scene in scenes(300):
        for query in scene.queries:
            assert readings(query.text, scene) == [query.cell], (query, scene.things)
            seen[query.kind] += 1
    assert min(seen.values()) >= 150


def test_distractors_share_a_colour_or_a_shape():
    shared = [
        {thing.colour for thing in scene.things} != {thing.colour for thing in scene.things[:1]}
        and any(
            (one.colour == two.colour) != (one.shape == two.shape)
            for one in scene.things[:1]
            for two in scene.things[1:]
        )
        for scene in scenes(300)
    ]
    assert np.mean(shared) > 0.5


def test_objects_have_a_cell_each_and_one_cell_stays_empty():
    counts = set()
    for scene in scenes(300):
        cells = [thing.cell for thing in scene.things]
        assert len(set(cells)) == len(cells) < scene.rows * scene.cols
        assert max(cells) < scene.rows * scene.cols
        counts.add(len(cells))
    assert counts == {2, 3, 4, 5}


def test_regions_cover_the_picture_row_by_row():
    for scene in scenes(20):
        regions, places = scene.regions(), scene.places()
        height, width = scene.picture.shape[:2]
        for region, (left, top, right, bottom) in zip(regions, places, strict=True):
            x, y = round(left * width), round(top * height)
            assert np.array_equal(region, scene.picture[y : y + REGION, x : x + REGION])
            assert (round(right * width) - x, round(bottom * height) - y) == (REGION, REGION)


def test_an_object_stands_out_from_its_ground():
    """Between the most and the least covered part of a cell lie at least 40 grey levels in some channel."""
    for scene in scenes(300):
        regions = scene.regions().astype(int)
        for thing in scene.things:
            pixels = np.sort(regions[thing.cell].reshape(-1, 3), axis=0)
            assert (pixels[-8] - pixels[8]).max() >= 40, thing


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_stays_inside_its_canvas(shape):
    for fill in FILLS:
        mask = shape_mask(shape, fill, SIZES["large"][1], 0.2, (0, 0))
        assert mask.any()
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()


def test_all_shapes_and_fills_differ():
    masks = [shape_mask(shape, fill, 38, 0.1, (0, 0)) > 0 for shape in SHAPES for fill in ("solid", "striped")]
    for number, one in enumerate(masks):
        for other in masks[:number]:
            assert (one ^ other).sum() > 200


@pytest.mark.parametrize("font", FONTS)
def test_a_word_fits_its_canvas_in_every_font(font):
    for word in WORDS:
        ink = word_mask(word, font, 90, (0, 0)) > 0
        across = np.flatnonzero(ink.any(axis=0))
        assert 40 <= across[-1] - across[0] < CANVAS - 1, word
        assert not ink[[0, -1]].any()


def test_positions_name_rows_columns_and_the_middle():
    assert positions(0, 3, 3) == ("at the top", "on the left", "at the top left")
    assert positions(4, 3, 3) == ("in the middle",)
    assert positions(1, 2, 3) == ("at the top",)
    assert positions(3, 3, 3) == ("on the left",)
    assert positions(5, 3, 2) == ("at the bottom", "on the right", "at the bottom right")

"""Training fits what it is shown, of pairs with a region and of pairs without, and again the same for a seed."""

from copy import deepcopy
from functools import cache
from itertools import cycle, islice

import numpy as np
import pytest
import torch

from operators.relevance import REGION
from operators.relevance.encoder import buckets
from operators.relevance.scenes import COLOURS
from operators.relevance.training import SCENE_TEXTS, scene_pairs, train
from pipeline.errors import ConfigError

PLACES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], np.float32)
NAMES = ("red", "green", "blue", "white")


def plain(name):
    return np.full((REGION, REGION, 3), COLOURS[name], np.uint8)


def known():
    """Two plain regions a picture, and the colour of one of them."""
    rng = np.random.default_rng(0)
    while True:
        names = rng.permutation(NAMES)[:2]
        which = int(rng.integers(2))
        yield np.stack([plain(name) for name in names]), PLACES, f"a {names[which]} wall", np.eye(2)[which]


def unknown():
    """A plain region and a black one, and the colour of the picture that is not black."""
    pictures = {name: np.stack([plain(name), plain("black")]) for name in NAMES}
    for name in cycle(NAMES):
        yield pictures[name], PLACES, f"a {name} wall", None


@cache
def trained():
    losses = []
    encoder = train(known(), steps=30, batch_pairs=16, report=lambda _, loss: losses.append(loss))
    return encoder, losses


def test_pairs_with_a_region_teach_to_point():
    encoder, losses = trained()
    assert len(losses) == 30
    assert losses[-1] < losses[0] / 2
    for regions, places, text, shares in islice(known(), 12):
        assert encoder.cosines(regions, places, text).argmax() == shares.argmax()


@pytest.mark.slow
def test_pairs_without_a_region_teach_to_tell_pictures_apart():
    encoder = train(unknown(), steps=40, batch_pairs=8)
    regions = np.stack([plain(name) for name in NAMES])
    for number, name in enumerate(NAMES):
        assert encoder.cosines(regions, PLACES[[0] * 4], f"a {name} wall").argmax() == number


def test_a_seed_gives_the_same_weights_and_leaves_torch_alone():
    before = torch.random.get_rng_state()
    one, two = (train(known(), steps=3, batch_pairs=4, seed=7).state_dict() for _ in range(2))
    other = train(known(), steps=3, batch_pairs=4, seed=8).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in one.items():
        assert torch.allclose(value.float(), two[name].float(), atol=1e-5), name
    assert not torch.allclose(one["head.0.weight"], other["head.0.weight"], atol=1e-5)


def test_words_that_training_never_met_stay_silent():
    encoder = train(known(), steps=2, batch_pairs=4)
    rows = buckets("a red wall")
    assert encoder.table.weight[rows].any(dim=1).all()
    assert int(encoder.table.weight.any(dim=1).sum()) <= len(
        {row for name in NAMES for row in buckets(f"a {name} wall")}
    )


def test_going_on_from_an_encoder_keeps_what_it_knows():
    encoder = deepcopy(trained()[0])
    again = train(((r, p, f"one {t}", w) for r, p, t, w in known()), steps=4, batch_pairs=8, rate=1e-4, start=encoder)
    assert again is encoder
    assert again.table.weight[buckets("one")].any()
    for regions, places, text, shares in islice(known(), 12):
        assert again.cosines(regions, places, text).argmax() == shares.argmax()


def test_it_ends_with_the_pairs_and_refuses_to_train_on_none():
    steps = []
    train(islice(known(), 10), steps=9, batch_pairs=4, report=lambda step, _: steps.append(step))
    assert steps == [1, 2, 3]
    with pytest.raises(ConfigError, match="expected at least one"):
        train([], steps=1)


def test_a_text_that_two_regions_hold_points_at_both():
    """A wall of two reds: the halves that hold more of it end higher, and both above the rest."""
    places = np.array([[0, 0, 0.4, 1], [0.4, 0, 0.8, 1], [0.8, 0, 1, 1]], np.float32)
    regions = np.stack([plain("red"), plain("white"), plain("blue")])
    pair = regions, places, "a wall", np.array([0.6, 0.3, 0])
    encoder = train([pair] * 160, steps=20, batch_pairs=8)
    large, small, none = encoder.cosines(regions, places, "a wall")
    assert large > small > none
    assert small - none > 0.1


def test_pairs_of_a_scene_share_its_regions_and_hold_one_that_is_empty():
    pairs = list(islice(scene_pairs(np.random.default_rng(0)), 20 * SCENE_TEXTS))
    pictures = {id(regions): (regions, places) for regions, places, _, _ in pairs}
    assert len(pairs) / SCENE_TEXTS <= len(pictures) <= 1.3 * len(pairs) / SCENE_TEXTS
    whole = 0
    for regions, places, _, shares in pairs:
        assert places.shape == (len(regions), 4)
        assert shares.shape == (len(regions),)
        assert 0.5 < shares.sum() < 1.0001
        whole += shares.max() > 0.9999
    assert 0.4 * len(pairs) < whole < 0.9 * len(pairs)  # both aligned scenes and others

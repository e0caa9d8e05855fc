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
        yield np.stack([plain(name) for name in names]), PLACES, f"a {names[which]} wall", which


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
    for regions, places, text, which in islice(known(), 12):
        assert encoder.cosines(regions, places, text).argmax() == which


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
    for regions, places, text, which in islice(known(), 12):
        assert again.cosines(regions, places, text).argmax() == which


def test_it_ends_with_the_pairs_and_refuses_to_train_on_none():
    steps = []
    train(islice(known(), 10), steps=9, batch_pairs=4, report=lambda step, _: steps.append(step))
    assert steps == [1, 2, 3]
    with pytest.raises(ConfigError, match="expected at least one"):
        train([], steps=1)


def test_pairs_of_a_scene_share_its_regions_and_hold_one_that_is_empty():
    pairs = list(islice(scene_pairs(np.random.default_rng(0)), 10 * SCENE_TEXTS))
    pictures = {id(regions): (regions, places) for regions, places, _, _ in pairs}
    assert len(pairs) / SCENE_TEXTS <= len(pictures) <= len(pairs) / SCENE_TEXTS + 2
    for regions, places, _, which in pairs:
        assert 3 <= len(regions) <= 6
        assert places.shape == (len(regions), 4)
        assert 0 <= which < len(regions) - 1

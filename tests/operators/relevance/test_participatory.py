"""Cosines of any encoder become 8-bit values that tell regions apart only where there is something to tell."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from operators.relevance import REGION
from operators.relevance.encoder import load_encoder, save_encoder
from operators.relevance.located import SHIPPED
from operators.relevance.participatory import NATS, open_encoder, stretched
from operators.relevance.scenes import make_scene
from pipeline.errors import ConfigError
from tests.operators.relevance.tiny_folders import SIDE, save_tiny

WEIGHTS = SHIPPED


def held_out(count):
    rng = np.random.default_rng(20261122)
    return [make_scene(rng) for _ in range(count)]


def asked(encoder, scene, text):
    owners = np.zeros(scene.rows * scene.cols, int)
    return encoder.cosines(scene.regions(), scene.places(), [text], owners)


def test_the_encoder_that_ships_opens_without_a_path():
    encoder = open_encoder(None, "cpu")
    assert (encoder.side, encoder.dtype) == (REGION, "float32")
    (scene,) = held_out(1)
    query = scene.queries[0]
    plain = load_encoder().cosines(scene.regions(), scene.places(), query.text)
    assert np.array_equal(asked(encoder, scene, query.text), plain)


def test_a_file_is_the_small_encoder_and_known_by_its_content(tmp_path):
    shutil.copy(WEIGHTS, tmp_path / "same.safetensors")
    other = load_encoder()
    with torch.no_grad():
        other.head[2].bias += 0.5
    save_encoder(other, tmp_path / "other.safetensors")
    same, moved = (open_encoder(str(tmp_path / f"{name}.safetensors"), "cpu") for name in ("same", "other"))
    assert same.identity == open_encoder(None, "cpu").identity != moved.identity
    (scene,) = held_out(1)
    text = scene.queries[0].text
    assert not np.array_equal(asked(same, scene, text), asked(moved, scene, text))


def test_a_folder_is_a_model_of_its_own(tmp_path):
    encoder = open_encoder(str(save_tiny("clip", tmp_path)), "cpu")
    assert encoder.side == SIDE
    regions = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    assert encoder.cosines(regions, np.zeros((2, 4), np.float32), ["a red star"], np.zeros(2, int)).shape == (2,)


def test_a_path_that_is_no_encoder_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"no encoder at .*gone; give a folder"):
        open_encoder(str(tmp_path / "gone"), "cpu")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"model\.bin is no encoder; .* or a \.safetensors file, is expected"):
        open_encoder(str(tmp_path / "model.bin"), "cpu")
    (tmp_path / "torn.safetensors").write_bytes(WEIGHTS.read_bytes()[:1000])
    save_file({"table.weight": torch.zeros(3, 4)}, tmp_path / "other.safetensors")
    for name in ("torn", "other"):
        with pytest.raises(ConfigError, match="holds no encoder of lodepack's; train one") as caught:
            open_encoder(str(tmp_path / f"{name}.safetensors"), "cpu")
        assert "\n" not in str(caught.value)


def test_regions_of_many_images_have_the_cosines_that_each_has_alone():
    encoder = open_encoder(None, "cpu")
    scenes = held_out(12)
    texts = [scene.queries[0].text for scene in scenes]
    owners = np.repeat(np.arange(12), [scene.rows * scene.cols for scene in scenes])
    regions = np.concatenate([scene.regions() for scene in scenes])
    places = np.concatenate([scene.places() for scene in scenes])
    together = encoder.cosines(regions, places, texts, owners)
    for i, scene in enumerate(scenes):
        assert np.array_equal(together[owners == i], asked(encoder, scene, texts[i]))
    order = np.random.default_rng(0).permutation(len(owners))
    assert np.array_equal(encoder.cosines(regions[order], places[order], texts, owners[order]), together[order])


def test_another_query_moves_the_values_and_the_asked_region_is_at_the_top():
    encoder = open_encoder(None, "cpu")
    tops = []
    for scene in held_out(30):
        one, two = (query for query in (scene.queries[0], scene.queries[-1]))
        first, second = (stretched(asked(encoder, scene, query.text), encoder.sharpness) for query in (one, two))
        assert not np.array_equal(first, second)
        tops += [first.argmax() == one.cell, second.argmax() == two.cell]
    assert np.mean(tops) >= 0.9


@pytest.mark.parametrize("text", ["", " \n", "?!", "zyzzyva quokka"])
def test_a_query_without_known_words_has_nothing_to_say(text):
    encoder = open_encoder(None, "cpu")
    (scene,) = held_out(1)
    cosines = asked(encoder, scene, text)
    assert not cosines.any()
    assert stretched(cosines, encoder.sharpness) is None


def test_no_regions_are_no_mistake():
    encoder = open_encoder(None, "cpu")
    nothing = np.zeros((0, REGION, REGION, 3), np.uint8), np.zeros((0, 4), np.float32)
    assert encoder.cosines(*nothing, [], np.zeros(0, int)).shape == (0,)
    assert stretched(np.zeros(0, np.float32), encoder.sharpness) is None


def test_regions_and_owners_that_do_not_fit_are_refused():
    encoder = open_encoder(None, "cpu")
    regions, places = np.zeros((2, REGION, REGION, 3), np.uint8), np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match=r"expected \(n, 48, 48, 3\) with \(n, 4\)"):
        encoder.cosines(regions[:, 1:], places, ["a star"], np.zeros(2, int))
    for owners in (np.zeros(3, int), np.array([0, 1]), np.array([0, -1])):
        with pytest.raises(ValueError, match="of 2 regions and 1 queries"):
            encoder.cosines(regions, places, ["a star"], owners)


def test_a_wide_range_is_stretched_whole_and_halves_go_up():
    found = stretched(np.array([-0.5, 0.0, 0.5, -0.498]), NATS / 0.5)
    assert found.tolist() == [0, 128, 255, 1]
    assert found.dtype == np.uint8


def test_a_narrow_range_stays_narrow():
    """A third of the least range becomes a third of 255, above zero."""
    sharpness = 12.0
    least = NATS / sharpness
    assert stretched(np.array([0.2, 0.2 + least / 3, 0.2]), sharpness).tolist() == [0, 85, 0]
    assert stretched(np.array([0.2, 0.2 + least / 3]), 10 * sharpness).tolist() == [0, 255]


def test_regions_that_are_all_alike_say_nothing():
    assert stretched(np.array([0.3, 0.3 + 1 / 256]), 12.0) is None
    assert stretched(np.array([0.3]), 12.0) is None
    assert stretched(np.array([0.3, 0.3 + 1 / 254]), 12.0) is not None


def test_rows_of_regions_and_texts_give_the_cosines_and_hang_on_no_batch_mate():
    encoder = open_encoder(None, "cpu")
    scene = held_out(1)[0]
    texts = [query.text for query in scene.queries[:5]] + ["zxqv"]
    seen, said = encoder.seen(scene.regions(), scene.places()), encoder.said(texts)
    assert seen.dtype == said.dtype == np.float32
    assert np.allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(said[:5], axis=1), 1, atol=1e-5)
    assert not said[5].any()
    assert np.allclose(seen @ said[0], asked(encoder, scene, texts[0]), atol=1e-6)
    for number in range(len(seen)):
        alone = slice(number, number + 1)
        assert np.array_equal(encoder.seen(scene.regions()[alone], scene.places()[alone])[0], seen[number])
    assert all(np.array_equal(encoder.said([text])[0], row) for text, row in zip(texts, said, strict=True))
    assert encoder.said([]).shape == encoder.seen(scene.regions()[:0], scene.places()[:0]).shape == (0, said.shape[1])

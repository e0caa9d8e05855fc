"""The encoder that ships points at what a text names; a score depends on its region, its place and the text alone."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from operators.relevance import REGION
from operators.relevance.crop import crop, grid
from operators.relevance.encoder import (
    BATCH_REGIONS,
    Encoder,
    buckets,
    load_encoder,
    quantised,
    save_encoder,
)
from operators.relevance.located import SHIPPED
from operators.relevance.phrases import KINDS
from operators.relevance.regrid import HOLDS, shares_of
from operators.relevance.scenes import make_scene

HELD_OUT = 20261122
"""Seed of scenes that training, seed 0, never saw."""
WEIGHTS = SHIPPED


@cache
def shipped():
    return load_encoder()


@cache
def scenes(count):
    rng = np.random.default_rng(HELD_OUT)
    return [make_scene(rng) for _ in range(count)]


def scores(scene, query, encoder=None):
    return (encoder or shipped()).participatory(scene.regions(), scene.places(), query)


def noise(count, seed=0):
    rng = np.random.default_rng(seed)
    regions = rng.integers(0, 256, (count, REGION, REGION, 3), np.uint8)
    corners = np.sort(rng.random((count, 2, 2), np.float32), axis=1)
    return regions, corners.reshape(count, 4)


def drawn_queries(count):
    """A query of each scene: first its kind is drawn, of those that the scene has."""
    rng = np.random.default_rng(0)
    for scene in scenes(count):
        kinds = [kind for kind in KINDS if any(query.kind == kind for query in scene.queries)]
        kind = kinds[int(rng.integers(len(kinds)))]
        fitting = [query for query in scene.queries if query.kind == kind]
        yield scene, fitting[int(rng.integers(len(fitting)))]


def test_the_queried_object_has_the_top_score_in_at_least_95_percent_of_500_held_out_scenes():
    """Top means alone at the top, in 8-bit values. Regions of all scenes go through together."""
    drawn = list(drawn_queries(500))
    regions = np.concatenate([scene.regions() for scene, _ in drawn])
    places = np.concatenate([scene.places() for scene, _ in drawn])
    said = shipped().texts([query.text for _, query in drawn]).detach()
    parts = torch.split(shipped().embedded(regions, places), [scene.rows * scene.cols for scene, _ in drawn])
    found = []
    for seen, text, (_, query) in zip(parts, said, drawn, strict=True):
        values = quantised((seen * text).sum(dim=1).numpy())
        found.append(values[query.cell] > np.delete(values, query.cell).max())
    assert np.mean(found) >= 0.95


@pytest.mark.slow
def test_where_regions_cut_through_objects_the_top_one_holds_part_of_the_queried_object():
    """4 x 4 regions over 200 held-out scenes of 2 or 3 cells a side. One that met cells alone has .81 of 1,000."""
    places = grid(4, 4)
    found = []
    for scene, query in list(drawn_queries(200)):
        regions = crop(Image.fromarray(scene.picture), places, REGION)
        box = scene.boxes[[thing.cell == query.cell for thing in scene.things]]
        (shares,) = shares_of(box, places)
        found.append(shares[shipped().cosines(regions, places, query.text).argmax()] >= HOLDS)
    assert np.mean(found) >= 0.9


def test_another_query_changes_the_scores_and_points_elsewhere():
    moved = []
    for scene in scenes(20):
        one, two = scene.queries[0], scene.queries[-1]
        assert one.cell != two.cell
        first, second = scores(scene, one.text), scores(scene, two.text)
        assert not np.array_equal(first, second)
        moved.append(first.argmax() != second.argmax())
    assert np.mean(moved) >= 0.9


def test_permuting_regions_permutes_scores_and_changes_none():
    regions, places = noise(3 * BATCH_REGIONS + 5)
    query = "the large red star at the top left"
    values = shipped().participatory(regions, places, query)
    assert len(set(values.tolist())) > 5
    order = np.random.default_rng(1).permutation(len(regions))
    assert np.array_equal(shipped().participatory(regions[order], places[order], query), values[order])


def test_a_score_is_the_same_alone_and_among_others():
    regions, places = noise(BATCH_REGIONS + 3)
    together = shipped().cosines(regions, places, "a blue square")
    for number in (0, 7, BATCH_REGIONS, BATCH_REGIONS + 2):
        alone = slice(number, number + 1)
        assert shipped().cosines(regions[alone], places[alone], "a blue square") == together[number]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_another_library_for_convolutions_moves_no_score_by_more_than_1():
    """With edges counted in floats, some of these moved by up to 7."""
    some = scenes(500)[:100]
    regions = np.concatenate([scene.regions() for scene in some])
    places = np.concatenate([scene.places() for scene in some])
    texts = shipped().texts([scene.queries[0].text for scene in some]).detach()
    found = quantised((shipped().embedded(regions, places) @ texts.T).numpy()).astype(int)
    with torch.backends.mkldnn.flags(enabled=False):
        plain = quantised((shipped().embedded(regions, places) @ texts.T).numpy())
    assert np.abs(plain - found).max() <= 1


def test_no_regions_give_no_scores():
    assert shipped().participatory(*noise(0), "a blue square").shape == (0,)


@pytest.mark.parametrize(
    "other", ["The LARGE red Star!", " the  large, red star? ", "«the large red star»", "ＴＨＥ large-red_star"]
)
def test_case_and_punctuation_do_not_matter(other):
    scene = scenes(20)[0]
    assert buckets(other) == buckets("the large red star")
    assert np.array_equal(scores(scene, other), scores(scene, "the large red star"))


def test_the_order_of_words_matters():
    assert sorted(buckets("left top")) != sorted(buckets("top left"))


def test_rows_of_words_never_change():
    """By hand: the first four bytes of sha256("red") are b1f51a51; Python's own hash differs in each process."""
    assert buckets("Red") == [0xB1F51A51 % (1 << 14)]


@pytest.mark.parametrize("text", ["", "?!", "zyzzyva"])
def test_a_text_without_a_known_word_fits_nothing(text):
    scene = scenes(20)[0]
    assert set(scores(scene, text).tolist()) == {128}


def test_unknown_words_beside_known_ones_change_nothing():
    scene = scenes(20)[0]
    assert not shipped().texts(["zyzzyva"]).any()
    assert np.array_equal(scores(scene, "zyzzyva"), scores(scene, "quokka zyzzyva"))


@pytest.mark.parametrize(
    ("cosine", "value"), [(-1, 0), (1, 255), (0, 128), (1 / 255, 128), (-1 / 255, 127), (0.6, 204)]
)
def test_cosines_become_8_bits_and_halves_go_up(cosine, value):
    assert quantised(np.array([cosine])).tolist() == [value]


def test_regions_of_another_size_are_refused():
    regions, places = noise(2)
    with pytest.raises(ValueError, match=r"expected \(n, 48, 48, 3\) with \(n, 4\)"):
        shipped().cosines(regions[:, :-1], places, "a star")
    with pytest.raises(ValueError, match=r"places \(1, 4\)"):
        shipped().cosines(regions, places[:1], "a star")


def test_the_weights_are_under_4_mb_and_open_with_safetensors_alone():
    assert WEIGHTS.is_file()
    with safe_open(str(WEIGHTS), framework="np") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    assert sum(value.nbytes for value in kept.values()) < 4 << 20
    assert {str(value.dtype) for name, value in kept.items() if name != "table.rows"} == {"float16"}
    assert all(np.isfinite(value).all() for value in kept.values())


def test_saved_weights_come_back(tmp_path):
    save_encoder(shipped(), tmp_path / "again.safetensors")
    again = load_encoder(tmp_path / "again.safetensors")
    for name, value in shipped().state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert (tmp_path / "again.safetensors").read_bytes() == WEIGHTS.read_bytes()


def test_an_untrained_encoder_points_nowhere():
    """The net and its test are apart: what points is the training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = Encoder().eval()
    found = [
        query.cell == scores(scene, query.text, untrained).argmax()
        for scene in scenes(20)
        for query in scene.queries[:3]
    ]
    assert np.mean(found) < 0.5

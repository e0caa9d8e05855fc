"""F has its golden values, and a shuffled copy of a coherent sequence scores lower."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from operators.filters.image_sequence import ImageSequence, sequence_score
from operators.relevance.crop import crop
from operators.relevance.participatory import open_encoder
from tests.operators.filters.test_nearness import embedded

WHOLE = np.array([[0, 0, 1, 1]], np.float32)


def chain(count, near, far):
    """Similarities of images of which neighbours have one and all others another."""
    found = np.full((count, count), float(far))
    for i in range(1, count):
        found[i, i - 1] = found[i - 1, i] = near
    np.fill_diagonal(found, 1)
    return found


@pytest.mark.parametrize(
    ("similarities", "variant", "score"),
    [
        (chain(4, 0.9, 0.3), "non_adjacent", 0.6),
        (np.ones((4, 4)), "non_adjacent", 0),
        (np.ones((9, 9)), "non_adjacent", 0),
        (np.eye(4), "non_adjacent", 0),
        (np.ones((4, 4)), "printed", -1),
        (np.eye(4), "printed", 0),
        (chain(4, 0.9, 0.3), "printed", 0.9 - 2 / 6 * (3 * 0.9 + 3 * 0.3)),
        (chain(3, 0.9, 0.3), "non_adjacent", 0.6),
        (chain(2, 0.7, 0), "non_adjacent", 0.7),
        (chain(2, 0.7, 0), "printed", 0.7),
    ],
)
def test_goldens_of_the_score(similarities, variant, score):
    assert sequence_score(similarities, variant) == pytest.approx(score, abs=1e-12)


def test_fewer_than_two_images_have_no_score():
    assert sequence_score(np.zeros((0, 0))) is None
    assert sequence_score(np.ones((1, 1))) is None
    assert list(ImageSequence().faults(embedded(("a", np.ones(1)), (None, np.ones(1))))) == []
    assert list(ImageSequence().faults(embedded(("a", np.ones(1))))) == []


def rows(similarities):
    """Embeddings with these dot products."""
    values, vectors = np.linalg.eigh(similarities)
    return vectors * np.sqrt(values.clip(0))


def rejected(embeddings, **given):
    return [fault.detail for fault in ImageSequence(**given).faults(embedded(*((None, row) for row in embeddings)))]


def test_equal_and_unrelated_images_are_rejected_and_a_chain_is_kept():
    assert ImageSequence.reason == "filter-image-sequence"
    assert rejected(np.ones((5, 1))) == ["score 0.000 of 5 images; at least 0.001"]
    assert rejected(np.eye(5)) == ["score 0.000 of 5 images; at least 0.001"]
    story = rows(chain(4, 0.55, 0.25))
    assert rejected(story) == []
    assert rejected(story, min=0.3) == []
    assert rejected(story, min=0.301) == ["score 0.300 of 4 images; at least 0.301"]
    assert rejected(np.ones((4, 1)), min=-1, variant="printed") == []
    assert rejected(np.ones((4, 1)), min=-0.999, variant="printed") != []


def fading(step, count):
    """A picture of a series in which one gradient turns into another."""
    share, ramp = step / (count - 1), np.linspace(0, 1, 240)
    shades = np.zeros((240, 240, 3))
    shades[..., 0] = 255 * (0.8 * share + 0.2 * ramp[None])
    shades[..., 1] = 255 * (1 - share) * (0.6 + 0.4 * ramp[:, None])
    shades[..., 2] = 255 * abs(0.5 - share)
    return Image.fromarray(shades.astype(np.uint8))


def moving(step, count):
    """A picture of a series in which a ball rolls from left to right and turns from blue to red."""
    picture, x = Image.new("RGB", (240, 240), "white"), 20 + 160 * step / (count - 1)
    shade = int(255 * step / (count - 1))
    ImageDraw.Draw(picture).ellipse([x, 90, x + 50, 140], fill=(shade, 40, 255 - shade))
    return picture


@pytest.mark.parametrize("draw", [fading, moving])
def test_a_shuffled_copy_of_a_coherent_sequence_scores_lower(draw):
    encoder = open_encoder(None, "cpu")
    pictures = np.concatenate([crop(draw(step, 8), WHOLE, encoder.side) for step in range(8)])
    found = encoder.seen(pictures, WHOLE.repeat(8, axis=0))
    assert rejected(found) == []
    alike = found @ found.T
    score = sequence_score(alike)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(8)
        shuffled = sequence_score(alike[np.ix_(order, order)])
        assert shuffled < score, seed
        assert rejected(found[order], min=score - 0.001)

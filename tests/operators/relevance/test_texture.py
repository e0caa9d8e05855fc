"""Thirteen channels of each picture by itself: golden values of the reference, and nothing from its neighbours."""

import numpy as np
import pytest
import torch

from operators.relevance.texture import CHANNELS, SIDE, texture


def channels(picture, **more):
    (found,) = texture(torch.from_numpy(picture)[None], **more)
    assert found.dtype == torch.float32
    assert found.shape == (13, more.get("side", SIDE), more.get("side", SIDE))
    return dict(zip(CHANNELS, found.numpy(), strict=True))


def flat(*colour, side=64):
    return np.full((side, side, 3), colour, np.uint8)


def noise(seed, height=64, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_white_picture_has_the_reference_values():
    white = channels(flat(255, 255, 255))
    assert np.allclose(white["lightness"], 1, atol=1e-6)
    assert np.allclose(white["green_red"], 0.50196, atol=1e-5)
    for name in ("gradient_x", "gradient_y", "magnitude", "orientation", "contrast"):
        assert not white[name].any()
    corners = white["eccentricity"][[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.allclose(corners, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("colour", "lightness", "a"),
    [((255, 0, 0), 53.24, 80.09), ((0, 255, 0), 87.73, -86.18), ((0, 0, 255), 32.30, 79.19), ((10, 10, 10), 2.74, 0)],
)
def test_lab_is_that_of_the_colour(colour, lightness, a):
    """Values of CIELAB under D65, as tables of sRGB give them."""
    found = channels(flat(*colour))
    assert found["lightness"].mean() * 100 == pytest.approx(lightness, abs=0.02)
    assert found["green_red"].mean() * 255 - 128 == pytest.approx(a, abs=0.03)


def test_colours_are_the_pixels():
    picture = noise(0, SIDE, SIDE)
    found = channels(picture)
    assert np.array_equal(np.stack([found[name] for name in CHANNELS[:3]], axis=2), picture.astype(np.float32) / 255)


def test_gradients_are_sobel_of_the_luminance():
    ramp = np.tile(np.arange(0, 2 * SIDE, 2, dtype=np.uint8), (SIDE, 1))
    ramp[:, SIDE // 2 :] += 64
    found = channels(np.stack([ramp] * 3, axis=2))
    least, step = 2 / 2, (2 + 2 + 64) / 2  # the frame repeats its edge: half a step there, and 66 over one pixel inside
    inside = 2 - least
    assert np.allclose(found["gradient_x"][:, 1], inside / (step - least), atol=1e-6)
    assert np.allclose(found["gradient_x"][:, SIDE // 2], 1)
    assert not found["gradient_y"].any()


def test_y_and_x_run_from_edge_to_edge():
    found = channels(flat(0, 0, 0))
    line = np.linspace(0, 1, SIDE, dtype=np.float32)
    assert np.allclose(found["y"], line[:, None], atol=1e-6)
    assert np.allclose(found["x"], line[None], atol=1e-6)


def test_a_region_knows_its_place_in_the_picture():
    found = channels(flat(0, 0, 0), places=torch.tensor([[0.5, 0.0, 1.0, 0.25]]))
    assert (found["x"].min(), found["x"].max()) == (0.5, 1)
    assert (found["y"].min(), found["y"].max()) == (0, 0.25)
    assert found["eccentricity"].argmax() == SIDE - 1


def test_edges_run_from_each_pictures_least_to_its_greatest():
    for seed in range(3):
        found = channels(noise(seed))
        for name in ("gradient_x", "gradient_y", "magnitude", "contrast"):
            assert (found[name].min(), found[name].max()) == (0, 1)


def test_an_upright_edge_has_orientation_0_and_a_level_one_a_half():
    picture = flat(0, 0, 0, side=SIDE)
    picture[:, SIDE // 2 :] = 255
    upright = channels(picture)
    assert not channels(np.ascontiguousarray(picture[:, ::-1]))["orientation"].any()
    level = channels(np.ascontiguousarray(picture.swapaxes(0, 1)))
    assert not upright["orientation"].any()
    assert set(level["orientation"].ravel()) == {0, 0.5}
    assert np.array_equal(upright["magnitude"] > 0, upright["contrast"] > 0)
    assert np.flatnonzero(upright["magnitude"].any(axis=0)).tolist() == [SIDE // 2 - 1, SIDE // 2]


def test_permuting_a_batch_changes_nothing():
    """A picture of full contrast beside flat and faint ones: stretched over the batch, they would lose their own."""
    pictures = np.stack([noise(0), flat(9, 200, 30), noise(1) // 16, flat(0, 0, 0), noise(2)])
    together = texture(torch.from_numpy(pictures))
    order = [3, 0, 4, 2, 1]
    assert torch.equal(texture(torch.from_numpy(pictures[order])), together[order])
    for picture, found in zip(pictures, together, strict=True):
        assert torch.equal(texture(torch.from_numpy(picture)[None])[0], found)


@pytest.mark.parametrize("shape", [(512, 512), (7, 90), (1, 1)])
def test_any_size_gives_one_shape(shape):
    found = channels(noise(0, *shape), side=48)
    assert all(np.isfinite(values).all() for values in found.values())

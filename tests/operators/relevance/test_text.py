"""Text is found, pictures are not, and the map of a page is the same however and wherever it is computed."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from safetensors.torch import load_file

from operators.relevance import text
from operators.relevance.text import (
    CELL,
    LARGEST,
    LAYERS,
    MARGIN,
    REACH,
    WEIGHTS,
    infer,
    normalise,
    text_map,
)

WORDS = ("Open the image", "Select a tool", "Layers and masks", "Save as copy")


def page(width=320, height=240, size=12):
    picture = Image.new("L", (width, height), 235)
    draw = ImageDraw.Draw(picture)
    for row, y in enumerate(range(16, height - 2 * size, 2 * size)):
        draw.text((16, y), WORDS[row % len(WORDS)], fill=30, font=ImageFont.load_default(size))
    return torch.from_numpy(np.array(picture))


def photograph(seed=0, side=240):
    noise = np.random.default_rng(seed).integers(0, 256, (side // 6, side // 6), np.uint8)
    smooth = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    return torch.from_numpy(np.array(smooth))


def noise(height, width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


def test_weights_are_those_that_were_trained():
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == SHIPPED
    names = [layer.name for layer in LAYERS] + ["logit"]
    stored = load_file(WEIGHTS)
    assert sorted(stored) == sorted(f"{name}.{part}" for name in names for part in ("weight", "bias", "shift"))
    used = text._weights(torch.device("cpu"))
    for name in names:
        scale = 2.0 ** -stored[f"{name}.shift"].double()
        assert torch.equal(used[f"{name}.weight"].double(), stored[f"{name}.weight"] * scale[:, None, None, None])
        assert torch.equal(used[f"{name}.bias"].double(), stored[f"{name}.bias"] * scale)


def test_no_sum_of_the_net_reaches_what_float32_can_count_to():
    stored = load_file(WEIGHTS)
    for name in [layer.name for layer in LAYERS] + ["logit"]:
        largest = stored[f"{name}.weight"].long().abs().sum((1, 2, 3)) * LARGEST + stored[f"{name}.bias"].long().abs()
        assert largest.max() < 1 << 24


@pytest.mark.parametrize("size", [10, 12, 16, 24])
def test_lines_of_text_are_found_and_the_ground_is_not(size):
    found = text_map(page(size=size)).numpy().astype(int)
    y = 16 // CELL
    assert found[y + 1 : (16 + size) // CELL, 5:16].mean() > 150
    assert found[:, 60:].mean() < 20


@pytest.mark.parametrize("seed", range(4))
def test_texture_of_a_photograph_is_no_text(seed):
    assert text_map(photograph(seed)).float().mean() < 20


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_page_has_no_text(shade):
    assert text_map(torch.full((64, 96), shade, dtype=torch.uint8)).max() < 20


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (64, 64), (65, 63), (130, 3)])
def test_map_has_a_value_for_every_begun_cell(height, width):
    found = text_map(noise(height, width))
    assert found.dtype == torch.uint8
    assert found.shape == (-(-height // CELL), -(-width // CELL))


def test_normalised_page_is_that_of_whole_numbers_computed_by_hand():
    grey = noise(44, 52)
    found = normalise(grey).numpy()
    shades = grey.numpy().astype(np.float64)
    for y, x in [(0, 0), (21, 30), (43, 51), (5, 50)]:
        row, col = y // CELL, x // CELL
        around = shades[
            max(0, row - REACH) * CELL : (row + REACH + 1) * CELL, max(0, col - REACH) * CELL : (col + REACH + 1) * CELL
        ]
        exact = 32 * (shades[y, x] - around.mean()) / (around.std() + 4)
        assert abs(found[y, x] - np.clip(np.round(exact), -LARGEST, LARGEST)) <= (abs(exact % 1 - 0.5) < 1e-4)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_and_fast_paths_change_nothing(threads):
    grey = torch.cat([page(), noise(240, 320)])
    threads(1)
    found = text_map(grey)
    threads(2)
    assert torch.equal(text_map(grey), found)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(text_map(grey), found)


def test_net_in_float32_is_the_net_in_float64():
    shades = normalise(torch.cat([page(), noise(240, 320)]))
    weights = text._weights(shades.device)
    with torch.backends.mkldnn.flags(enabled=False):
        exact = infer(shades.double(), weights)
    assert torch.equal(infer(shades, weights), exact)


def test_strips_change_nothing(monkeypatch):
    grey = noise(300, 90)
    found = text_map(grey)
    monkeypatch.setattr(text, "STRIP", 64)
    assert torch.equal(text_map(grey), found)


def test_value_depends_on_nothing_beyond_the_margin():
    grey = noise(400, 400)
    part = text_map(grey[100:300, 60:340])
    inside = MARGIN // CELL
    assert torch.equal(
        part[inside:-inside, inside:-inside],
        text_map(grey)[25 + inside : 75 - inside, 15 + inside : 85 - inside],
    )


SHIPPED = "42c295cd1e0d5ded4acdca8f4972acf60222f53142e8c0f713c1fca3fb71a1fd"

"""Llama 4 equals transformers' processor: canvases, sizes, ids; and its pixels to within one of 255.

Llama4ImageProcessor wants torchvision: its functions come from its own code, without importing it, and its resizing is
done here as torchvision does it, by torch.
"""

import math
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from processors import byte_tokenizer, close_share, layout_ids, picture, random_sizes
from sources import functions_of
from transformers.models.llama4.processing_llama4 import Llama4Processor

from operators.profiles import load_profile
from operators.slicing.llama4 import resize_on_canvas, select_canvas
from operators.slicing.resizing_torch import resize_by_torch
from tests.rendering import rendered

PROFILE = load_profile("llama4")
TOKENS = PROFILE.tokens.by_role()
TOKENIZER = byte_tokenizer(PROFILE)
SIZES = [*random_sizes(400), *random_sizes(100, seed=1, aspect=500)]
SMALL = [(30, 20), (100, 100), (500, 400), (700, 100), (90, 460)]
LARGE = [size for size in random_sizes(80, seed=3) if size[0] * size[1] <= 4_000_000][:40]

get_factors, get_best_fit, get_max_res, find_resolutions = functions_of(
    "transformers.models.llama4",
    "image_processing_llama4.py",
    "get_factors",
    "get_best_fit",
    "get_max_res_without_distortion",
    "find_supported_resolutions",
    torch=torch,
    math=math,
    defaultdict=defaultdict,
)
RESOLUTIONS = torch.tensor(find_resolutions(16, SimpleNamespace(height=336, width=336)))


def theirs_of(width, height):
    """(columns, rows) of the canvas, and (width, height) of the picture on it, in the steps of its _preprocess."""
    target = get_best_fit((height, width), RESOLUTIONS)
    limits = min(max(height, 336), target[0]), min(max(width, 336), target[1])
    resized = get_max_res((height, width), limits)
    return (int(target[1]) // 336, int(target[0]) // 336), (max(int(resized[1]), 1), max(int(resized[0]), 1))


def text_of(grid):
    return Llama4Processor._prompt_split_image(None, grid[::-1], 144)


def test_canvases_and_sizes_equal_on_500_sizes():
    for width, height in SIZES:
        cols, rows = select_canvas(width, height, 336, 16)
        resized = resize_on_canvas(width, height, (cols * 336, rows * 336), 336)
        assert ((cols, rows), resized) == theirs_of(width, height)


def test_counts_equal_on_500_sizes():
    counts = {grid: len(TOKENIZER.encode(text_of(grid))) for grid in {theirs_of(*size)[0] for size in SIZES}}
    for size in SIZES:
        assert PROFILE.slicing.plan(*size, TOKENS).tokens == counts[theirs_of(*size)[0]]


@pytest.mark.parametrize("sizes", [[(100, 60)], [(60, 1000), (800, 600)]], ids=["one", "two"])
def test_ids_equal_the_processors(sizes):
    text, ours = "It shows ", TOKENIZER.encode("It shows ", add_special_tokens=False)
    for size in sizes:
        text += text_of(theirs_of(*size)[0]) + " and\n"
        ours += layout_ids(PROFILE.slicing.plan(*size, TOKENS), TOKENIZER)
        ours += TOKENIZER.encode(" and\n", add_special_tokens=False)
    assert TOKENIZER.encode(text, add_special_tokens=False) == ours


def resized(pixels, width, height):
    """torchvision's antialiased bilinear resize of uint8 [1, 3, height, width]."""
    return torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)


def assert_pixels_close(size):
    image = picture(*size)
    pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1)[None].copy())
    (cols, rows), (width, height) = theirs_of(*size)
    canvas = torch.zeros(3, rows * 336, cols * 336, dtype=torch.uint8)
    canvas[:, :height, :width] = resized(pixels, width, height)
    theirs = [canvas[:, y : y + 336, x : x + 336] for y in range(0, rows * 336, 336) for x in range(0, cols * 336, 336)]
    if len(theirs) > 1:
        theirs.append(resized(pixels, 336, 336)[0])
    views = rendered(image, PROFILE.slicing.plan(*size, TOKENS), resize_by_torch)
    ours = [np.asarray(view).transpose(2, 0, 1) for view in views]
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    ours = rendered(image, PROFILE.slicing.plan(*size, TOKENS))
    assert close_share(ours, [view.numpy().astype(int) for view in theirs]) >= 0.999


@pytest.mark.parametrize("size", SMALL, ids=str)
def test_pixels_of_small_pictures_are_close(size):
    assert_pixels_close(size)


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_pixels_are_close(size):
    assert_pixels_close(size)

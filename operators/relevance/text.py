"""Finds text: a convolutional net of 26,000 integer weights, whose map of a page is the same on every device.

Weights and activations are integers in float32 tensors, and every sum stays below 2^24, so it is exact in any order,
with or without fused multiply-adds, on any number of threads. The strides and dilations leave no room for Winograd's
algorithm, which would work with fractions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("text.safetensors")
CELL = 4
"""Pixels of a side that share one value of the map."""
REACH = 2
"""A cell's brightness and contrast are those of the cells up to so many away: 20 by 20 pixels, a line of text."""
FLOOR = 4.0
"""Added to the standard deviation: differences of a few grey levels are no text."""
INPUT_BITS, ACTIVATION_BITS, LOGIT_BITS = 5, 4, 4
"""Binary places of the normalised input, of activations and of the logit: steps of 1/32, 1/16 and 1/16."""
LARGEST = 127
"""Of an activation and of a weight. 400 products of the two, the most that a sum has, are 6.5 million."""
STRIP = 512
"""Rows of a page that go through the net together: activations take 22 bytes a pixel, and more rows leave the cache."""
MARGIN = 48
"""Rows around a strip, more than the 41 pixels that a value's inputs reach."""


class Layer(NamedTuple):
    """One convolution: its name in the file, stride, dilation and whether its input is added to its output."""

    name: str
    size: int
    stride: int
    dilation: int
    is_residual: bool


LAYERS = (
    Layer("fine", 5, 2, 1, is_residual=False),
    Layer("coarse", 5, 2, 1, is_residual=False),
    Layer("near", 3, 1, 2, is_residual=True),
    Layer("far", 3, 1, 4, is_residual=True),
)
Weights = dict[str, torch.Tensor]


def text_map(grey: torch.Tensor) -> torch.Tensor:
    """How surely there is text: uint8 [ceil(h/4), ceil(w/4)] of luminance uint8 [h, w], 255 times a probability."""
    weights = _weights(grey.device)
    rows = -(-grey.shape[0] // CELL)
    strips = []
    with torch.inference_mode():
        for top in range(0, grey.shape[0], STRIP):
            first = max(0, top - MARGIN)
            logits = infer(normalise(grey[first : top + STRIP + MARGIN]), weights)
            skipped, wanted = (top - first) // CELL, min(STRIP // CELL, rows - top // CELL)
            strips.append(logits[skipped : skipped + wanted])
        return _sigmoid(grey.device)[torch.cat(strips) + 128]


def normalise(grey: torch.Tensor) -> torch.Tensor:
    """Luminance uint8 [h, w] over its surroundings' contrast: integers -127..127, float32 [4 ceil(h/4), 4 ceil(w/4)].

    Mean and deviation are those of sums of integers; each step after them is one correctly rounded operation.
    """
    down, across = (-side % CELL for side in grey.shape)
    shades = grey.to(torch.float32) - 128
    if down or across:
        shades = functional.pad(shades[None], (0, across, 0, down), mode="replicate")[0]
    total, squares = _by_cell(shades), _by_cell(shades * shades)
    count = torch.full_like(total, CELL * CELL)
    count, total, squares = (_around(sums) for sums in (count, total, squares))
    mean = total / count
    deviation = (squares / count - mean * mean).clamp_(min=0).sqrt_()
    gain = (1 << INPUT_BITS) / (deviation + FLOOR)
    cells = shades.view(mean.shape[0], CELL, mean.shape[1], CELL)
    centred = (cells - mean[:, None, :, None]).mul_(gain[:, None, :, None])
    whole: torch.Tensor = centred.round_().clamp_(-LARGEST, LARGEST).view(shades.shape)
    return whole


def _by_cell(values: torch.Tensor) -> torch.Tensor:
    """Sum of each cell, [h/4, w/4] of [h, w]: by whole rows and then columns, much faster than `sum` over two of four
    dimensions.
    """
    rows = _added([values[place::CELL] for place in range(CELL)])
    return _added([rows[:, place::CELL] for place in range(CELL)])


def _around(sums: torch.Tensor) -> torch.Tensor:
    """Of each cell the sum of those up to REACH away that there are."""
    height, width = sums.shape
    wide = functional.pad(sums, (REACH, REACH, REACH, REACH))
    rows = _added([wide[place : place + height] for place in range(2 * REACH + 1)])
    return _added([rows[:, place : place + width] for place in range(2 * REACH + 1)])


def _added(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    found = parts[0] + parts[1]
    for part in parts[2:]:
        found += part
    return found


def infer(shades: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Logits of normalised shades [h, w], sides multiples of 4: int64 [h/4, w/4] in -128..127, 16 to a unit."""
    x = shades[None, None]
    for layer in LAYERS:
        padding = layer.dilation * (layer.size // 2)
        kernel, bias = weights[f"{layer.name}.weight"].to(x.dtype), weights[f"{layer.name}.bias"].to(x.dtype)
        found = functional.conv2d(x, kernel, bias, layer.stride, padding, layer.dilation).floor_()
        x = (found.clamp_(min=0).add_(x) if layer.is_residual else found).clamp_(0, LARGEST)
    kernel, bias = weights["logit.weight"].to(x.dtype), weights["logit.bias"].to(x.dtype)
    return functional.conv2d(x, kernel, bias).floor_().clamp_(-128, 127)[0, 0].to(torch.int64)


@cache
def _weights(device: torch.device) -> Weights:
    """Integers of the file times their channel's power of two, which keeps every sum exact and saves a pass."""
    stored = load_file(WEIGHTS)
    scaled = {}
    for name in [layer.name for layer in LAYERS] + ["logit"]:
        scale = torch.exp2(-stored[f"{name}.shift"].to(torch.float32))
        scaled[f"{name}.weight"] = (stored[f"{name}.weight"] * scale[:, None, None, None]).to(device)
        scaled[f"{name}.bias"] = (stored[f"{name}.bias"] * scale).to(device)
    return scaled


@cache
def _sigmoid(device: torch.device) -> torch.Tensor:
    """255 times the probability for each logit from -128 to 127."""
    steps = (2.0**-LOGIT_BITS * (logit + 0.5) for logit in range(-128, 128))
    return torch.tensor([round(255 / (1 + math.exp(-step))) for step in steps], dtype=torch.uint8, device=device)

"""Trains the text detector on generated pages: `python -m operators.relevance.text_training --out text.safetensors`.

Weights and activations are rounded while it learns, as `text.infer` rounds them, so storing loses nothing. 1,500 of
the 4,000 steps took two minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from operators.relevance.pages import page
from operators.relevance.text import ACTIVATION_BITS, CELL, INPUT_BITS, LARGEST, LAYERS, LOGIT_BITS, normalise

STEPS, BATCH, SIDE = 4000, 8, 160
PEAK_RATE = 4e-3
CHANNELS = (16, 32)
MOST_BITS = 12
"""Binary places of a weight, at most: a channel of nothing but tiny weights stays one."""

log = logging.getLogger(__name__)


class Detector(nn.Module):
    """The net of `text.infer` in real numbers, each rounded to what its integer stands for."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, CHANNELS[0], CHANNELS[1], CHANNELS[1])
        outputs = (CHANNELS[0], CHANNELS[1], CHANNELS[1], CHANNELS[1])
        for layer, num_in, num_out in zip(LAYERS, inputs, outputs, strict=True):
            self.add_module(layer.name, nn.Conv2d(num_in, num_out, layer.size))
        self.logit = nn.Conv2d(CHANNELS[1], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, 1, h/4, w/4] of normalised pages [n, 1, h, w] in units of one deviation."""
        bits = INPUT_BITS
        for layer in LAYERS:
            weight, bias = self.rounded(layer.name, bits)
            found = functional.conv2d(x, weight, bias, layer.stride, layer.dilation * (layer.size // 2), layer.dilation)
            found = _floored(found.clamp(min=0), ACTIVATION_BITS)
            x = (x + found if layer.is_residual else found).clamp(max=LARGEST / (1 << ACTIVATION_BITS))
            bits = ACTIVATION_BITS
        return _floored(functional.conv2d(x, *self.rounded("logit", bits)), LOGIT_BITS)

    def rounded(self, name: str, input_bits: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and biases as they will be stored; gradients pass as if they had not been rounded."""
        layer = self.get_submodule(name)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        step = torch.exp2(-self.bits(name))
        kept = (weight / step[:, None, None, None]).round() * step[:, None, None, None]
        sums = step / (1 << input_bits)
        return weight + (kept - weight).detach(), bias + ((bias / sums).round() * sums - bias).detach()

    def bits(self, name: str) -> torch.Tensor:
        """Binary places of each output channel's weights: as many as its largest leaves within LARGEST."""
        largest = self.get_submodule(name).get_parameter("weight").detach().abs().amax((1, 2, 3))
        return (LARGEST / largest).log2().floor().clamp(0, MOST_BITS)

    def stored(self) -> dict[str, torch.Tensor]:
        """What `text.infer` reads: of each layer int8 weights, int32 biases, and the shift from sums to activations."""
        found, input_bits = {}, INPUT_BITS
        for name, output_bits in [(layer.name, ACTIVATION_BITS) for layer in LAYERS] + [("logit", LOGIT_BITS)]:
            weight, bias = (tensor.detach() for tensor in self.rounded(name, input_bits))
            bits = self.bits(name)
            found[f"{name}.weight"] = (weight * torch.exp2(bits)[:, None, None, None]).round().to(torch.int8)
            found[f"{name}.bias"] = (bias * torch.exp2(bits + input_bits)).round().to(torch.int32)
            found[f"{name}.shift"] = (bits + input_bits - output_bits).to(torch.int8)
            input_bits = ACTIVATION_BITS
        return found


def examples(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised pages [n, 1, SIDE, SIDE] and the share of text in each cell of them, [n, 1, SIDE/4, SIDE/4]."""
    pages = [page(rng, SIDE) for _ in range(count)]
    shades = torch.stack([normalise(torch.from_numpy(grey.copy())) for grey, _ in pages])[:, None]
    truth = torch.from_numpy(np.stack([mask for _, mask in pages])).to(torch.float32)[:, None]
    return shades / (1 << INPUT_BITS), functional.avg_pool2d(truth, CELL)


def train(seed: int, steps: int = STEPS) -> Detector:
    """A detector trained on `steps` batches of generated pages."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Detector()
    optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, steps)
    for step in range(steps):
        shades, truth = examples(rng, BATCH)
        loss = functional.binary_cross_entropy_with_logits(net(shades), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            log.info("step %d of %d: loss %.3f", step, steps, loss.item())
    return net


def _floored(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Cut to so many binary places; gradients pass."""
    return x + (torch.floor(x * (1 << bits)) / (1 << bits) - x).detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    save_file(train(args.seed, args.steps).stored(), args.out)


if __name__ == "__main__":
    main()

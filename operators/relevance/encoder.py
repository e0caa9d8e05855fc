"""The small dual encoder: how well each region of a picture fits a text, where no larger model is at hand.

Region tower: a convolutional net on the texture array of the region, and its place. Text tower: hashed words and
pairs of words, looked up, added, and passed through a small net without biases, so that a text of unknown words gives
the zero vector, whose cosine with everything is 0.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from operators.relevance import REGION
from operators.relevance.batching import padded
from operators.relevance.located import SHIPPED
from operators.relevance.texture import CHANNELS, texture

BATCH_REGIONS = 32
"""Regions per forward pass, always: the last pass is padded, so every region meets one shape."""
WIDTH = 64
BUCKETS = 1 << 14
"""Rows of the table of words and pairs: those of scenes take 494, so that a new word meets one 3 times in 100."""
SHARPNESS = 12.0
"""Training multiplies cosines by this: one that is .2 higher is 11 times as likely."""
MAX_KNOWN = 1 << 16
"""Words and pairs whose rows are remembered: a hostile text has a million of its own."""
WORD = re.compile(r"[^\W_]+")


class Encoder(nn.Module):
    """Both towers. `regions` and `texts` give rows of length 1, float32 [n, WIDTH], for the dot product."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            *_convolution(len(CHANNELS), 24, 2),
            *_convolution(24, 48, 2),
            *_convolution(48, 48, 1),
            *_convolution(48, 96, 2),
            *_convolution(96, 96, 1),
        )
        self.head = nn.Sequential(nn.Linear(2 * 96 + 8, 128), nn.ReLU(), nn.Linear(128, WIDTH))
        self.table = nn.EmbeddingBag(BUCKETS, WIDTH, mode="sum")
        self.mix = nn.Sequential(nn.Linear(WIDTH, 128, bias=False), nn.ReLU(), nn.Linear(128, WIDTH, bias=False))

    def regions(self, regions: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """regions: uint8 [n, REGION, REGION, 3]; places: float32 [n, 4], left, top, right, bottom, 0..1."""
        seen = self.look(texture(regions, places, REGION))
        middle = (places[:, :2] + places[:, 2:]) / 2
        place = torch.cat([places, middle, (2 * middle - 1).square()], dim=1)
        pooled = torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3)), place], dim=1)
        return functional.normalize(self.head(pooled), eps=1e-3)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """One row a text; zeros where it has no word that training met."""
        found = [buckets(text) for text in texts]
        starts = np.cumsum([0, *map(len, found[:-1])])
        device = self.table.weight.device
        rows = torch.tensor([row for one in found for row in one], dtype=torch.int64, device=device)
        added = self.table(rows, torch.from_numpy(starts).to(device))
        return functional.normalize(added + self.mix(added), eps=1e-3)

    @torch.no_grad()
    def embedded(self, regions: np.ndarray, places: np.ndarray) -> torch.Tensor:
        """`regions` of any number of regions, of one picture or many, BATCH_REGIONS at a time."""
        if regions.shape[1:] != (REGION, REGION, 3) or places.shape != (len(regions), 4):
            raise ValueError(
                f"regions {regions.shape} with places {places.shape}; "
                f"expected (n, {REGION}, {REGION}, 3) with (n, 4): resample the regions first"
            )
        device = self.table.weight.device
        found = [torch.zeros(0, WIDTH, device=device)]
        for start in range(0, len(regions), BATCH_REGIONS):
            chunk = slice(start, start + BATCH_REGIONS)
            part, place = (
                padded(rows[chunk], BATCH_REGIONS).to(device) for rows in (regions, places.astype(np.float32))
            )
            found.append(self.regions(part, place)[: len(regions[chunk])])
        return torch.cat(found)

    @torch.no_grad()
    def cosines(self, regions: np.ndarray, places: np.ndarray, query: str) -> np.ndarray:
        """Cosine of each region with the query, float32 [n]; regions and places as in `regions`."""
        fit = (self.embedded(regions, places) * self.texts([query])).sum(dim=1)
        return np.asarray(fit.cpu().numpy())

    def participatory(self, regions: np.ndarray, places: np.ndarray, query: str) -> np.ndarray:
        """How well each region fits the query, uint8 [n]: 128 says that they have nothing to do with each other."""
        return quantised(self.cosines(regions, places, query))


def quantised(cosines: np.ndarray) -> np.ndarray:
    """(cosine + 1) / 2 as 0..255, half rounded up; uint8, any shape."""
    return np.floor((cosines.astype(np.float64) + 1) / 2 * 255 + 0.5).clip(0, 255).astype(np.uint8)


def buckets(text: str) -> list[int]:
    """Rows of the table for each word of a text and each pair of neighbours, whatever its case and punctuation."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [_bucket(gram) for gram in (*words, *map(" ".join, pairwise(words)))]


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Writes the weights in float16; of the table only rows that are not zero, with their numbers."""
    weights = {name: value.detach().cpu().half() for name, value in encoder.state_dict().items()}
    used = encoder.table.weight.detach().cpu().any(dim=1).nonzero()[:, 0]
    weights["table.weight"] = weights["table.weight"][used].contiguous()
    save_file(weights | {"table.rows": used.to(torch.int32)}, path)


def load_encoder(path: Path | None = None) -> Encoder:
    """The encoder of a file that `save_encoder` wrote, or the one that ships; float32, ready to score."""
    weights = {name: value.float() for name, value in load_file(path or SHIPPED).items()}
    table = torch.zeros(BUCKETS, WIDTH)
    table[weights.pop("table.rows").long()] = weights["table.weight"]
    encoder = Encoder()
    encoder.load_state_dict(weights | {"table.weight": table})
    return encoder.eval()


@lru_cache(MAX_KNOWN)
def _bucket(gram: str) -> int:
    return int.from_bytes(hashlib.sha256(gram.encode()).digest()[:4], "big") % BUCKETS


def _convolution(channels: int, filters: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()

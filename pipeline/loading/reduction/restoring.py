"""HiRes-LLaVA: slices merged into one raster and split again, and modules that look across their seams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

SLICE = "tile"


def merge(features: Tensor, stored: Mapping[str, Any]) -> Tensor:
    """Features [n, d], as the encoder gives them, -> [n, d] with the slices as one raster. stored: has `restore`.

    A plan whose `restore` is None (of an image without slices) leaves them as they are. ValueError where it is one of
    another number of tokens.
    """
    return features if stored["restore"] is None else features[_order(features, stored)]


def split(features: Tensor, stored: Mapping[str, Any]) -> Tensor:
    """The way back, bit by bit: what was merged is as the encoder gave it."""
    return features if stored["restore"] is None else features[_order(features, stored).argsort()]


def raster_of(stored: Mapping[str, Any], views: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Where the raster starts among the tokens, and its rows and columns.

    views: the image's, in order, with `kind`, `row` and `col` as a pack has them. Slices stand together.
    """
    grids = [(one["rows"], one["cols"]) for one in stored["grids"]]
    slices = [i for i, view in enumerate(views) if view["kind"] == SLICE]
    start = sum(rows * cols for rows, cols in grids[: slices[0]])
    rows = sum(grids[i][0] for i in slices if views[i]["col"] == 0)
    return start, rows, sum(grids[i][1] for i in slices if views[i]["row"] == 0)


class SliceRestore(nn.Module):
    """The SliceRestore adapter: what a token sees of the whole raster is added to it. Untrained, it changes nothing.

    Near: a depth-wise convolution, 3 x 3. Far: attention among the tokens of a coarser raster, enlarged again. Both go
    through a linear layer that starts at zero. Source: arXiv 2407.08706; the sizes are ours, as no code was released.
    """

    def __init__(self, width: int, *, num_heads: int = 4, coarse: int = 4) -> None:
        """width: d, a multiple of num_heads. coarse: tokens along each side of one token of the coarser raster."""
        super().__init__()
        self.coarse = coarse
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.far = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.added = _zero(width)

    def forward(self, features: Tensor, stored: Mapping[str, Any], views: Sequence[Mapping[str, Any]]) -> Tensor:
        """Features [n, d], as the encoder gives them, -> [n, d] in the same order; views as `raster_of` takes them."""
        if stored["restore"] is None:
            return features
        start, rows, cols = raster_of(stored, views)
        merged = merge(features, stored)
        raster = merged[start : start + rows * cols].T.reshape(1, -1, rows, cols)
        seen = (self.near(raster) + self._far(raster))[0].flatten(1).T
        restored = merged.clone()
        restored[start : start + rows * cols] += self.added(seen)
        return split(restored, stored)

    def _far(self, raster: Tensor) -> Tensor:
        rows, cols = raster.shape[2:]
        size = (-(-rows // self.coarse), -(-cols // self.coarse))
        tokens = adaptive_avg_pool2d(raster, size).flatten(2).transpose(1, 2)
        mixed = self.far(tokens, tokens, tokens, need_weights=False)[0]
        return interpolate(
            mixed.transpose(1, 2).reshape(1, -1, *size), (rows, cols), mode="bilinear", align_corners=False
        )


class SelfMiningSampler(nn.Module):
    """The mean of each region, and what it finds when it asks that region alone. Untrained, it is the mean.

    Source: arXiv 2407.08706; the sizes are ours, as no code was released.
    """

    def __init__(self, width: int, *, num_heads: int = 4) -> None:
        """width: d, a multiple of num_heads."""
        super().__init__()
        self.asking = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.added = _zero(width)

    def forward(self, features: Tensor, stored: Mapping[str, Any]) -> Tensor:
        """Features [n, d] -> [k, d]. stored: a plan that has `groups` and `kept`, of regions of the same size each.

        ValueError where regions differ in size, or the plan is one of another number of tokens.
        """
        groups = torch.as_tensor(stored["groups"], dtype=torch.long, device=features.device)
        count = len(stored["kept"])
        if len(groups) != len(features) or (groups.bincount(minlength=count) * count != len(groups)).any():
            raise ValueError(f"{len(features)} features and {count} regions; {len(groups)} in equal regions expected")
        regions = features[groups.argsort(stable=True)].reshape(count, -1, features.shape[1])
        means = regions.mean(1)
        found = self.asking(means[:, None], regions, regions, need_weights=False)[0][:, 0]
        added: Tensor = self.added(found)
        return means + added


def _order(features: Tensor, stored: Mapping[str, Any]) -> Tensor:
    order = torch.as_tensor(stored["restore"], dtype=torch.long, device=features.device)
    if len(order) != len(features):
        raise ValueError(f"{len(features)} features; {len(order)} expected, as many as the plan restores")
    return order


def _zero(width: int) -> nn.Linear:
    """A linear layer that gives nothing before it is trained."""
    layer = nn.Linear(width, width)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer

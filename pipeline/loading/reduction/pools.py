"""Views pooled to fewer rows and columns: TokenFLEX and Dynamic-VLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def pool(features: Tensor, stored: Mapping[str, Any]) -> Tensor:
    """Features [n, d], floating, -> [k, d]: each view averaged to the rows and columns of its pool, in raster order.

    stored: a plan that has `pools`, as many as `grids`. ValueError where it is one of another number of tokens.
    """
    grids, pools = ([(one["rows"], one["cols"]) for one in stored[name]] for name in ("grids", "pools"))
    sizes = [rows * cols for rows, cols in grids]
    if len(features) != sum(sizes):
        raise ValueError(f"{len(features)} features; {sum(sizes)} expected, as many as the plan's grids have tokens")
    found = [
        adaptive_avg_pool2d(view.T.reshape(-1, *grid), to).flatten(1).T
        for view, grid, to in zip(torch.split(features, sizes), grids, pools, strict=True)
    ]
    return torch.cat(found)

"""WiCo's windows: the features of each window's tokens joined into one, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def join(features: Tensor, stored: Mapping[str, Any]) -> Tensor:
    """Features [n, d] -> [k, d w], of any dtype: feature c w + i of a token is feature c of its window's i-th.

    So the w values of a channel stand together, as torch's unfold lets them and as WiCo's projector reads them.
    stored: a plan that has `window`. ValueError where it is one of another number of tokens.
    """
    if len(features) != stored["num_tokens"]:
        raise ValueError(f"{len(features)} features; {stored['num_tokens']} expected, as many as the plan has tokens")
    window = torch.as_tensor([list(row) for row in stored["window"]], dtype=torch.long, device=features.device)
    return features[window].transpose(1, 2).flatten(1)

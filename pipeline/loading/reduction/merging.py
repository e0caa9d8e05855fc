"""Tokens that are left out or averaged into others, as a stored plan says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def keep(features: torch.Tensor, plan: Mapping[str, Any]) -> torch.Tensor:
    """The k tokens that keep their place, [k, d] of [n, d], in their order; all of them where `kept` is null.

    ValueError if features are not those of the plan's n tokens.
    """
    _check(features, plan)
    if plan["kept"] is None:
        return features
    return features[torch.as_tensor(plan["kept"], dtype=torch.int64, device=features.device)]


def merge(features: torch.Tensor, plan: Mapping[str, Any]) -> torch.Tensor:
    """Each kept token with what goes into it, [k, d] of [n, d]: a mean, or the sum weighted by `shares`.

    Tokens of group -1 go nowhere. Sums are in float32 at least; the result has the features' dtype. Without groups it
    is `keep`. Gradients flow to every token with a part. ValueError if features are not those of the plan's n tokens.
    """
    if plan["groups"] is None:
        return keep(features, plan)
    _check(features, plan)
    device, exact = features.device, torch.promote_types(features.dtype, torch.float32)
    groups = torch.as_tensor(plan["groups"], dtype=torch.int64, device=device)
    num_kept = len(plan["groups"]) if plan["kept"] is None else len(plan["kept"])
    has_part = groups >= 0
    groups, values = groups[has_part], features[has_part].to(exact)
    if plan["shares"] is None:
        weights = 1 / torch.bincount(groups, minlength=num_kept).to(exact)[groups]
    else:
        weights = torch.as_tensor(plan["shares"], dtype=exact, device=device)[has_part]
    merged = torch.zeros(num_kept, *features.shape[1:], dtype=exact, device=device)
    return merged.index_add(0, groups, values * weights[:, None]).to(features.dtype)


def _check(features: torch.Tensor, plan: Mapping[str, Any]) -> None:
    if features.ndim != 2 or len(features) != plan["num_tokens"]:
        raise ValueError(f"features of shape {tuple(features.shape)}; [{plan['num_tokens']}, d] expected, as planned")

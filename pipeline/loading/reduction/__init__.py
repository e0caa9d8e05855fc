"""What a trainer does with the plans of reduction in a pack: small functions of torch, one file a kind of plan.

`reduce_features` is all that happens between the encoder (and its projector) and the language model. What happens
inside the language model is in layers.py (schedules, clusters, decay) and expanding.py (WiCo+); the slices of
HiRes-LLaVA, inside the encoder, in restoring.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pipeline.loading.reduction.merging import merge
from pipeline.loading.reduction.pools import pool
from pipeline.loading.reduction.windows import join

__all__ = ["reduce_features"]


def reduce_features(features: Tensor, plan: Mapping[str, Any]) -> Tensor:
    """Features [n, d] of an image, in the order of its sequence, as those of the k tokens that have a place, [k, d'].

    plan: `reduction` of an entry of a pack's `plans`. d' is d, but of windows: w d. The k stand for the image's
    placeholders in the pack, in their order. ValueError if the features are not those of the plan's n tokens.
    """
    if plan["window"] is not None:
        return join(features, plan)
    if plan["pools"] is not None:
        return pool(features, plan)
    return merge(features, plan)

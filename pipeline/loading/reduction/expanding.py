"""WiCo+: the tokens of images spread over more places before the last layers of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

IGNORED = -100


class Expanded(NamedTuple):
    """A sequence of l tokens, with what has to grow with it. Positions count from 0 in each segment, as in a pack."""

    hidden: Tensor
    labels: Tensor
    position_ids: Tensor
    segment_ids: Tensor
    cu_seqlens: Tensor


def spread(features: Tensor, count: int) -> Tensor:
    """Features [k, d], floating, -> [count, d], linear along the tokens, the first and the last as they are."""
    return interpolate(features.T[None], count, mode="linear", align_corners=True)[0].T


def expand(
    hidden: Tensor, labels: Tensor, segment_ids: Tensor, images: Sequence[tuple[int, Mapping[str, Any]]]
) -> Expanded:
    """The sequence as the layer of the plans sees it. All of its images have the same layer.

    hidden [l, d]; labels and segment_ids [l]. images: where each starts and its plan, which has `expand` and `kept`, in
    the order of the sequence. An image's tokens stand together, without a marker between. Added tokens are in the
    segment of their image and are not trained. ValueError where an image does not fit into the sequence.
    """
    parts: dict[str, list[Tensor]] = {"hidden": [], "labels": [], "segment_ids": []}

    def keep(start: int, end: int) -> None:
        for name, values in (("hidden", hidden), ("labels", labels), ("segment_ids", segment_ids)):
            parts[name].append(values[start:end])

    done = 0
    for start, stored in images:
        kept, count = len(stored["kept"]), stored["expand"]["tokens"]
        if not done <= start <= start + kept <= len(hidden) or not kept:
            raise ValueError(f"an image of {kept} tokens at {start} does not fit: {done} to {len(hidden)} is free")
        keep(done, start)
        parts["hidden"].append(spread(hidden[start : start + kept], count))
        parts["labels"].append(labels.new_full((count,), IGNORED))
        parts["segment_ids"].append(segment_ids[start].repeat(count))
        done = start + kept
    keep(done, len(hidden))
    whole = {name: torch.cat(found) for name, found in parts.items()}
    segments = whole["segment_ids"]
    lengths = torch.unique_consecutive(segments, return_counts=True)[1]
    ends = lengths.cumsum(0)
    position_ids = torch.arange(len(segments), device=segments.device) - (ends - lengths).repeat_interleave(lengths)
    return Expanded(**whole, position_ids=position_ids, cu_seqlens=torch.cat([ends.new_zeros(1), ends]).to(torch.int32))

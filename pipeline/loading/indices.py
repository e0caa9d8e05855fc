"""Which images each token and each image of a pack may see, for models that attend to images and not to their tokens.

From a pack's own columns (schema.pack_schema): `modality`, `samples` and `views`. Images count through the pack, in
the order in which they begin; a document is a sample of the pack, or the part of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.types import Modality

COLUMNS = ("modality", "samples", "views")


def image_indices(pack: Mapping[str, Any]) -> dict[str, Any]:
    """Of a pack of L tokens, D documents and I images (int64; lists as in the pack):

    `image_attn_index` [L]: the last image that begins at or before each token, in its document; -1: none, or padding.
                    Flamingo's rule is that a text token attends to this one alone
    `first_image_index` [L]: the first image of the token's document, -1 where `image_attn_index` is: MM-Interleaved
                    attends to all from this one to that one
    `image_starts` [I]: the first token of each image that stands for features
    `nearest_bos_idxs` [I]: where its document, or the part of it, begins: an image is drawn from what stands between
    `num_image_per_seq` [1]: I, as the pack is the sequence; `num_image_per_document` [D]
    `image_views`: for each image the numbers of its views among the pack's, the coarse one and its tiles: what
                    multi-scale features come from

    Source: MM-Interleaved (arXiv 2401.10208), whose mmc4_wds.py looks for the last start token before an image; where
    a family has none, its document begins there too. Flamingo (arXiv 2204.14198), section 2.4.
    """
    samples, views = pack["samples"], pack["views"]
    images: dict[tuple[int, int], list[int]] = {}
    for number, view in enumerate(views):
        images.setdefault((view["sample"], view["image"]), []).append(number)
    owners = np.array([sample for sample, _ in images], np.int64)
    starts = np.array([min(views[number]["start"] for number in own) for own in images.values()], np.int64)
    begins = np.array([sample["start"] for sample in samples], np.int64)
    last = np.full(len(pack["modality"]), -1, np.int64)
    first = last.copy()
    for number in np.unique(owners):
        own = np.flatnonzero(owners == number)
        inside = np.arange(starts[own[0]], begins[number] + samples[number]["length"])
        first[inside] = own[0]
        last[inside] = own[0] - 1 + np.searchsorted(starts[own], inside, side="right")
    is_padding = np.asarray(pack["modality"]) == Modality.PADDING
    last[is_padding] = first[is_padding] = -1
    return {
        "image_attn_index": torch.from_numpy(last),
        "first_image_index": torch.from_numpy(first),
        "image_starts": torch.from_numpy(starts),
        "nearest_bos_idxs": torch.from_numpy(begins[owners]),
        "num_image_per_seq": torch.tensor([len(images)]),
        "num_image_per_document": torch.from_numpy(np.bincount(owners, minlength=len(samples))),
        "image_views": [torch.tensor(own) for own in images.values()],
    }


def attention_mask(indices: Mapping[str, Any], *, last_only: bool = True) -> torch.Tensor:
    """Which of the I images each of the L tokens attends to, bool [L, I], from what `image_indices` gives.

    last_only: Flamingo's rule, the last image before it alone; otherwise MM-Interleaved's, all of its document so far.
    A row without any True is a token that sees no image: its cross attention must be zeroed, not normalised.
    """
    last: torch.Tensor = indices["image_attn_index"][:, None]
    first: torch.Tensor = last if last_only else indices["first_image_index"][:, None]
    images = torch.arange(int(indices["num_image_per_seq"]), device=last.device)
    return (first <= images) & (images <= last)

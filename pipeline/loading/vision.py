"""What each family's vision tower takes of a pack's views, in token order: normalised pixels and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

import numpy as np
import torch

from pipeline.loading.pixels import flatten_patches, normalise, patches, planes
from pipeline.operator import Row

Tensors = dict[str, torch.Tensor]


class Keywords(Protocol):
    """Views of one pack, sides of a patch in pixels and of a token in patches, mean and deviation by channel."""

    def __call__(
        self, views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]
    ) -> Tensors:
        """The keywords of the model's forward; pixels are float32, all else int64."""
        ...


def _qwen(views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]) -> Tensors:
    """Flat patches [n, 6 * patch**2] and image_grid_thw [views, 3]."""
    cut = np.concatenate([patches(view, patch, merge) for view in views])
    grids = [[view["grid_t"], view["grid_h"], view["grid_w"]] for view in views]
    return {
        "pixel_values": torch.from_numpy(flatten_patches(normalise(cut, mean, std))),
        "image_grid_thw": torch.tensor(grids, dtype=torch.int64),
    }


def _tiles(views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]) -> Tensors:  # noqa: ARG001 - as the others
    """InternVL, LLaVA-1.5: [views, 3, height, width], all of one size."""
    return {"pixel_values": torch.from_numpy(normalise(np.stack([planes(view) for view in views]), mean, std))}


def _llava_next(views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]) -> Tensors:
    """The tiles of all images in one stack, which needs no padding, with image_sizes [images, 2], (height, width)."""
    sizes = [view["box"][:1:-1] for view in views if view["kind"] == "whole"]
    return _tiles(views, patch, merge, mean, std) | {"image_sizes": torch.tensor(sizes, dtype=torch.int64)}


def _llava_onevision(
    views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]
) -> Tensors:
    """As LLaVA-NeXT, and batch_num_images [documents with images]: an only image has tiles, one of several has none."""
    images = dict.fromkeys((view["sample"], view["image"]) for view in views)
    numbers = [len(list(own)) for _, own in groupby(sample for sample, _ in images)]
    found = _llava_next(views, patch, merge, mean, std)
    return found | {"batch_num_images": torch.tensor(numbers, dtype=torch.int64)}


def _idefics3(views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]) -> Tensors:
    """[1, tiles, 3, height, width]: tiles fill their size, so no mask of pixels is wanted."""
    return {"pixel_values": _tiles(views, patch, merge, mean, std)["pixel_values"].unsqueeze(0)}


def _pixtral(views: Sequence[Row], patch: int, merge: int, mean: Sequence[float], std: Sequence[float]) -> Tensors:  # noqa: ARG001 - as the others
    """[images, 3, height, width] of the largest, zeros behind the others, and image_sizes [images, 2]."""
    sizes = np.array([[view["height"], view["width"]] for view in views], np.int64)
    padded = np.zeros((len(views), 3, *sizes.max(axis=0)), np.float32)
    for own, view, (height, width) in zip(padded, views, sizes, strict=True):
        own[:, :height, :width] = normalise(planes(view), mean, std)
    return {"pixel_values": torch.from_numpy(padded), "image_sizes": torch.from_numpy(sizes)}


VISION: dict[str, Keywords] = {
    "qwen": _qwen,
    "llava_1_5": _tiles,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "internvl": _tiles,
    "idefics3": _idefics3,
    "pixtral": _pixtral,
}
"""By scheme of the profile."""

"""From a pack to the keywords of its family's model in transformers: positions that isolate, pixels that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.errors import ConfigError
from pipeline.loading.pixels import flatten_patches, normalise, patches, planes
from pipeline.operator import Row

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """What an output's recipe says of the model that it was packed for."""

    scheme: str
    rule: str
    """Of positions."""
    pixels: str
    """What the packs keep of each view."""
    patch: int
    merge: int
    """Patches per token along each side; 1 where the scheme does not merge."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Family:
        """ConfigError, before anything is read, for packs that no model of transformers takes as they are."""
        profile, kept = recipe["profile"], recipe["job"]["pixels"]
        name, slicing, rule = profile["name"], profile["slicing"], profile["positions"]["rule"]
        if rule not in POSITIONS:
            raise ConfigError(
                f"profile {name} has positions of rule {rule}, which no model of transformers isolates by; "
                f"one of {', '.join(sorted(POSITIONS))} expected: read its packs with pyarrow"
            )
        if kept == "source":
            raise ConfigError(
                "the packs keep the place of their pictures alone (pixels: source); pixels are expected: "
                "build with pixels: encoded or patches"
            )
        if kept != "none" and slicing["scheme"] not in VISION:
            raise ConfigError(
                f"profile {name} cuts pictures by scheme {slicing['scheme']}; one of {', '.join(sorted(VISION))} "
                "expected: build with pixels: none, and feed the model's own processor"
            )
        return cls(
            scheme=slicing["scheme"],
            rule=rule,
            pixels=kept,
            patch=slicing["patch"],
            merge=slicing.get("merge", 1),
            mean=tuple(profile["mean"]),
            std=tuple(profile["std"]),
        )

    def positions(self, position_ids: npt.NDArray[np.int32], cu_seqlens: npt.NDArray[np.int32]) -> torch.Tensor:
        """Positions by which the model keeps documents apart, from those of a pack [R, L]; int64.

        [1, L] for the 1-D rule; [4, 1, L] for M-RoPE, text row first: transformers finds the documents of a packed
        row where the text row does not go on by one, and given three rows it looks for none.
        """
        return POSITIONS[self.rule](position_ids, cu_seqlens)

    def vision(self, views: Sequence[Row]) -> Tensors:
        """The vision tower's keywords for a pack's views, in token order; none where there are none."""
        return VISION[self.scheme](views, self) if views else {}


def _sequential(position_ids: npt.NDArray[np.int32], cu_seqlens: npt.NDArray[np.int32]) -> torch.Tensor:  # noqa: ARG001 - as the other
    return torch.from_numpy(position_ids.astype(np.int64))


def _mrope(position_ids: npt.NDArray[np.int32], cu_seqlens: npt.NDArray[np.int32]) -> torch.Tensor:
    text = np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], np.diff(cu_seqlens))
    return torch.from_numpy(np.concatenate([text[np.newaxis], position_ids]).astype(np.int64)[:, np.newaxis])


POSITIONS: dict[str, Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], torch.Tensor]] = {
    "1d": _sequential,
    "mrope": _mrope,
}
"""By rule of the profile."""


def _qwen(views: Sequence[Row], family: Family) -> Tensors:
    cut = np.concatenate([patches(view, family.patch, family.merge) for view in views])
    grids = [[view["grid_t"], view["grid_h"], view["grid_w"]] for view in views]
    return {
        "pixel_values": torch.from_numpy(flatten_patches(normalise(cut, family.mean, family.std))),
        "image_grid_thw": torch.tensor(grids, dtype=torch.int64),
    }


def _tiles(views: Sequence[Row], family: Family) -> Tensors:
    tiles = np.stack([planes(view) for view in views])
    return {"pixel_values": torch.from_numpy(normalise(tiles, family.mean, family.std))}


def _llava_next(views: Sequence[Row], family: Family) -> Tensors:
    sizes = [view["box"][:1:-1] for view in views if view["kind"] == "whole"]
    return _tiles(views, family) | {"image_sizes": torch.tensor(sizes, dtype=torch.int64)}


VISION: dict[str, Callable[[Sequence[Row], Family], Tensors]] = {
    "qwen": _qwen,
    "llava_next": _llava_next,
    "internvl": _tiles,
}
"""By scheme of the profile."""

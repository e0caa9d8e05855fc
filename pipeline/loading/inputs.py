"""From a pack to the keywords of its family's model in transformers: positions that isolate, pixels that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.errors import ConfigError
from pipeline.loading.vision import VISION, Tensors
from pipeline.operator import Row


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
        if kept != "none" and (slicing["scheme"], slicing.get("pinpoint_order")) == ("llava_next", "width_first"):
            raise ConfigError(
                f"profile {name} reads its pinpoints width first, and transformers height first, so small pictures "
                "would be taken for others; build with profile llava_next_hf, or with pixels: none"
            )
        if kept != "none" and slicing["scheme"] == "llava_onevision":
            _refuse_split(recipe["job"]["pack"]["long_documents"])
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
        return VISION[self.scheme](views, self.patch, self.merge, self.mean, self.std) if views else {}


def _refuse_split(long_documents: str) -> None:
    """LLaVA-OneVision cuts an only picture into tiles, and tells it by its document's number of pictures alone."""
    if long_documents != "reject":
        raise ConfigError(
            f"pack.long_documents is {long_documents}, and a part of a split document may hold one picture of several, "
            "which LLaVA-OneVision would take for an only one; reject expected: build with pack.long_documents=reject"
        )


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

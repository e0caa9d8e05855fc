"""The participatory way: how well each region of an image couples with what the image is asked, as 8-bit values.

A dual encoder gives cosines of regions and queries: the small one that ships or that a user trained, or a local
folder of SigLIP, SigLIP2 or CLIP.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError

from operators.relevance import REGION
from operators.relevance.batching import check_regions
from operators.relevance.encoder import SHARPNESS, WIDTH, load_encoder
from operators.relevance.located import identity_of, located
from pipeline.errors import ConfigError

SAME = 1 / 255
"""Cosines of one image that lie this close have nothing to say."""
NATS = 8.5
"""Least range that is stretched to 0..255, on the scale on which the encoder was trained: .71 for the small one. Of
held-out scenes 92 in 100 then have a region above .8, and 77 where the grid cuts through objects; of photographs asked
for a red star 2.5 in 100, and of pages of a manual beside their text none."""


class DualEncoder(Protocol):
    """Gives cosines of regions and queries, whatever stands beside them in the batch."""

    side: int
    """Pixels of a side of the regions that it takes."""
    identity: str
    """sha256 of its weights, its configuration and its tokenizer: for the recipe."""
    dtype: str
    """float32 or bfloat16."""
    sharpness: float
    """What its training multiplied cosines by to have logits: a cosine of that part more is one nat."""

    def cosines(
        self, regions: np.ndarray, places: np.ndarray, queries: Sequence[str], owners: np.ndarray
    ) -> np.ndarray:
        """Cosine of each region with its query, float32 [n]; 0 for a query of no word that the encoder knows.

        regions: uint8 [n, side, side, 3]. places: float32 [n, 4], left, top, right, bottom as shares of the image.
        owners: int [n], the number of each region's query. ValueError where these do not fit each other.
        """
        ...

    def seen(self, regions: np.ndarray, places: np.ndarray) -> np.ndarray:
        """A row of length 1 for each region, float32 [n, d]; regions and places as in `cosines`."""
        ...

    def said(self, texts: Sequence[str]) -> np.ndarray:
        """A row of length 1 for each text, float32 [n, d]; zeros for a text of no word that the encoder knows."""
        ...


def open_encoder(path: str | None, device: str) -> DualEncoder:
    """The encoder at a path, on `cpu` or `cuda`.

    path: None, the one that ships; a .safetensors file, one that `lodepack relevance train` wrote; a folder, SigLIP,
    SigLIP2 or CLIP. ConfigError says in one line what is wrong with it.
    """
    where = located(path)
    if where.is_dir():
        from operators.relevance.folder import FolderEncoder  # with transformers, an extra

        return FolderEncoder(where, device)
    return SmallEncoder(where, device)


class SmallEncoder:
    """The small encoder of a file, in float32 on every device."""

    side = REGION
    dtype = "float32"
    sharpness = SHARPNESS

    def __init__(self, path: Path, device: str) -> None:
        try:
            self._net = load_encoder(path).to(device)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise ConfigError(
                f"{path} holds no encoder of lodepack's; train one with: lodepack relevance train JOB.yaml"
            ) from error
        self.identity = identity_of(path)

    @torch.inference_mode()
    def cosines(
        self, regions: np.ndarray, places: np.ndarray, queries: Sequence[str], owners: np.ndarray
    ) -> np.ndarray:
        check_regions(regions, places, self.side, queries, owners)
        if not len(regions):
            return np.zeros(0, np.float32)
        said = self._said(queries)
        seen = self._net.embedded(regions, places)
        fit = (seen * said[torch.from_numpy(owners.astype(np.int64)).to(said.device)]).sum(dim=1)
        return np.asarray(fit.cpu().numpy())

    def seen(self, regions: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.asarray(self._net.embedded(regions, places).cpu().numpy())

    @torch.inference_mode()
    def said(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self._said(texts).cpu().numpy()) if texts else np.zeros((0, WIDTH), np.float32)

    def _said(self, texts: Sequence[str]) -> torch.Tensor:
        """One by one: in a product of matrices, the last bits of a row hang on the number of rows."""
        return torch.cat([self._net.texts([text]) for text in texts])


def stretched(cosines: np.ndarray, sharpness: float) -> np.ndarray | None:
    """One image's cosines from their least, 0, to their greatest, 255, half rounded up; uint8 [n].

    The range is at least NATS, so that a picture that has nothing to do with its query is not stretched into noise.
    None where all cosines are the same within SAME: the query, or the picture, has nothing to say.
    """
    values = cosines.astype(np.float64)
    extent = float(np.ptp(values)) if len(values) else 0.0
    if extent <= SAME:
        return None
    shares = (values - values.min()) / max(extent, NATS / sharpness)
    return np.asarray(np.floor(shares * 255 + 0.5).astype(np.uint8))

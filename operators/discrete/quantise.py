"""The code of each vector: the nearest one, of equals the lowest; by exact sums where vectors and codes are integers.

Everything is computed in float64. Levels of 8 bits then make sums below 2**53, which no order of adding rounds: every
device and library finds the same codes. Vectors of other values are compared as float64 rounds them on that device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from operators.discrete.patches import Codes

CHUNK = 1 << 23
"""Distances held at once, 64 MB of them."""


class Nearest:
    """Finds codes among `codes` [K, d] on one device."""

    def __init__(self, codes: np.ndarray, device: str = "cpu") -> None:
        self._device = torch.device(device)
        table = torch.from_numpy(codes.astype(np.float64)).to(self._device)
        self._squares = (table * table).sum(dim=1)
        self._twice = 2 * table.T

    def __call__(self, vectors: np.ndarray) -> Codes:
        """int32 [n]: for each of `vectors` [n, d] the lowest k with the least ‖z‖² + ‖e_k‖² - 2 z·e_k.

        ‖z‖² is the same for every code and left out.
        """
        return self.with_gaps(vectors)[0]

    def with_gaps(self, vectors: np.ndarray) -> tuple[Codes, npt.NDArray[np.float64]]:
        """The codes, and the squared distance of each vector to its own: float64 [n]."""
        codes, gaps = [np.empty(0, np.int32)], [np.empty(0)]
        step = max(1, CHUNK // len(self._squares))
        for start in range(0, len(vectors), step):
            z = torch.from_numpy(vectors[start : start + step].astype(np.float64)).to(self._device)
            # torch.argmin gives the first of equals.
            distances = self._squares - z @ self._twice
            found = distances.argmin(dim=1)
            least = distances.gather(1, found[:, None])[:, 0] + (z * z).sum(dim=1)
            codes.append(found.cpu().numpy().astype(np.int32))
            gaps.append(least.cpu().numpy())
        return np.concatenate(codes), np.concatenate(gaps)

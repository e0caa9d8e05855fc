"""Runs an encoder at one fixed padded shape, so that a value hangs on no batch mate, and halves it if it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch


def in_batches(count: int, size: int, run: Callable[[slice, int], torch.Tensor]) -> tuple[list[torch.Tensor], int]:
    """What `run` gives for all rows, batch by batch, and the size of the last batch.

    run: takes the rows of a batch and the size that they are padded to, gives a value a row. Where it raises
    torch.OutOfMemoryError the size is halved, for the rows that are left too; at size 1 the error goes on.
    """
    found: list[torch.Tensor] = []
    start = 0
    while start < count:
        rows = slice(start, min(start + size, count))
        try:
            found.append(run(rows, size))
            start = rows.stop
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
    return found, size


def padded(rows: np.ndarray, size: int) -> torch.Tensor:
    """The rows and zeros behind them, `size` in all; a copy."""
    full = np.zeros((size, *rows.shape[1:]), rows.dtype)
    full[: len(rows)] = rows
    return torch.from_numpy(full)


def check_regions(
    regions: np.ndarray, places: np.ndarray, side: int, queries: Sequence[str], owners: np.ndarray
) -> None:
    """ValueError if shapes or owners do not fit each other, or the regions the encoder."""
    if regions.shape[1:] != (side, side, 3) or places.shape != (len(regions), 4):
        raise ValueError(
            f"regions {regions.shape} with places {places.shape}; "
            f"expected (n, {side}, {side}, 3) with (n, 4): resample the regions first"
        )
    if owners.shape != (len(regions),) or not ((owners >= 0) & (owners < len(queries))).all():
        raise ValueError(f"owners {owners.shape} of {len(regions)} regions and {len(queries)} queries; name one each")

"""Fits a codebook to patches by k-means in integers: the same patches give the same codes on every machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from operators.discrete.patches import Codes
from operators.discrete.quantise import Nearest
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Distinct patches, uint8 [n, d] in the order of their bytes, and how often each was seen, int64 [n]."""

    levels: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, patches: np.ndarray) -> Patches:
        """patches: uint8 [m, d], in any order."""
        rows = np.ascontiguousarray(patches)
        found, counts = np.unique(rows.view(np.dtype((np.void, rows.shape[1])))[:, 0], return_counts=True)
        return cls(found.view(np.uint8).reshape(-1, rows.shape[1]), counts.astype(np.int64))


def fit(
    patches: Patches,
    num_codes: int,
    *,
    seed: int = 0,
    rounds: int = 10,
    device: str = "cpu",
    report: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Distinct codes, uint8 [num_codes, d], by Lloyd's rounds from `num_codes` distinct patches drawn with `seed`.

    Distances are exact integers, of equals the lowest code wins, and means are rounded half up, so nothing depends on
    the machine. A code that nobody is nearest to moves to the patch that is farthest from its own code, of equals the
    first. Stops early where nothing moves. ConfigError where there are fewer distinct patches than codes.
    """
    if len(patches.levels) < num_codes:
        raise ConfigError(
            f"the shards have {len(patches.levels)} distinct patches; at least as many as codes, {num_codes}, "
            "expected: ask for fewer codes or give more pictures"
        )
    chosen = np.random.default_rng(seed).permutation(len(patches.levels))[:num_codes]
    codes = patches.levels[np.sort(chosen)]
    for number in range(rounds):
        report(number)
        nearest, gaps = Nearest(codes, device).with_gaps(patches.levels)
        moved = _means(patches, nearest, codes)
        moved = _reseeded(moved, nearest, gaps, patches)
        if np.array_equal(moved, codes):
            break
        codes = moved
    return _apart(codes, patches, device)


def _means(patches: Patches, nearest: Codes, codes: np.ndarray) -> np.ndarray:
    """The mean patch of each code, rounded half up; a code without patches stays."""
    order = np.argsort(nearest, kind="stable")
    held, starts = np.unique(nearest[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    moved = codes.copy()
    for code, start, end in zip(held.tolist(), starts.tolist(), ends, strict=True):
        own = order[start:end]
        weights = patches.counts[own]
        total = int(weights.sum())
        sums = weights @ patches.levels[own].astype(np.int64)
        moved[code] = (2 * sums + total) // (2 * total)
    return moved


def _reseeded(codes: np.ndarray, nearest: Codes, gaps: np.ndarray, patches: Patches) -> np.ndarray:
    """Codes that nobody is nearest to, put on the patches farthest from theirs."""
    empty = np.setdiff1d(np.arange(len(codes)), nearest)
    farthest = np.argsort(-gaps, kind="stable")[: len(empty)]
    moved = codes.copy()
    moved[empty[: len(farthest)]] = patches.levels[farthest]
    return moved


def _apart(codes: np.ndarray, patches: Patches, device: str) -> np.ndarray:
    """The codes with each second one of equals put on the patch farthest from all, until all differ."""
    while True:
        first = np.sort(np.unique(codes, axis=0, return_index=True)[1])
        if len(first) == len(codes):
            return codes
        again = np.setdiff1d(np.arange(len(codes)), first)
        gaps = Nearest(codes, device).with_gaps(patches.levels)[1]
        # Distinct patches that are no code yet: as there are at least as many patches as codes, they suffice.
        farthest = np.argsort(-gaps, kind="stable")[: len(again)]
        codes = codes.copy()
        codes[again] = patches.levels[farthest]

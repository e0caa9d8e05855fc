"""Clusters by density peaks (DPC-kNN) on integers: no noise, no rounding, the same groups on every machine."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

from operators.reduction.plan import Ints


def density_peaks(features: Ints, num_clusters: int) -> Ints:
    """[m] The cluster, 0..num_clusters-1, of each of m tokens [m, d]; num_clusters is from 1 to m.

    As SparseVLM's code has it: a token is the denser the smaller the mean of squared distances to its num_clusters
    nearest, itself among them; centres are those with the greatest product of density and distance to the next denser
    token; all others go to the nearest centre. Of two tokens equally dense the first is the denser one, where the code
    adds noise.
    """
    squares = _squared_distances(features)
    near = np.sort(squares, axis=1)[:, :num_clusters].sum(axis=1)
    apart = _to_denser(squares, near)
    centres = _best(near, apart, num_clusters * features.shape[1], num_clusters)
    groups: Ints = squares[:, centres].argmin(axis=1)
    groups[centres] = np.arange(num_clusters)
    return groups


def _squared_distances(features: Ints) -> Ints:
    """[m, m]"""
    wide = features.astype(np.int64)
    lengths = (wide * wide).sum(axis=1)
    squares: Ints = lengths[:, None] + lengths[None] - 2 * (wide @ wide.T)
    return squares


def _to_denser(squares: Ints, near: Ints) -> Ints:
    """[m] Squared distance of each token to the nearest that is denser; of the densest: the greatest of all."""
    places = np.arange(len(near))
    denser = (near[None] < near[:, None]) | ((near[None] == near[:, None]) & (places[None] < places[:, None]))
    nearest: Ints = np.where(denser, squares, squares.max()).min(axis=1)
    return nearest


def _best(near: Ints, apart: Ints, scale: int, num: int) -> list[int]:
    """Places with the greatest sqrt(apart) x exp(-near / scale), the greatest first, of equals the first.

    By logarithms as decimals, which Python rounds correctly everywhere, unlike exp of floats.
    """
    with localcontext() as context:
        context.prec = 40
        scores = [
            Decimal(distance).ln() / 2 - Decimal(spread) / scale
            for distance, spread in zip(apart.tolist(), near.tolist(), strict=True)
        ]
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:num]

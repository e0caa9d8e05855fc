"""Weighs the three maps of one image against each other. Integers only, so that a stored map gives the same again."""

from __future__ import annotations

from collections.abc import Sequence

from operators.weights import WEIGHT_STEPS

Map = Sequence[int]
"""One value a region, 0..255."""
FULL = 255


def weigh(maps: Sequence[Map | None], weights: Sequence[int], *, opponent: bool) -> tuple[list[int], list[int]]:
    """(weights in thousandths, combined map) of an image.

    A map that is None has nothing to say and is left out. opponent: each weight is multiplied by 1 plus how far the
    greatest value of its map stands above the mean of that map, less what the other maps do so on average; a map that
    singles out one region thus counts more than one that calls all of them equal. Weights add up to WEIGHT_STEPS. If
    the maps that have something to say have no weight, they count alike.
    """
    speaking = [i for i, found in enumerate(maps) if found is not None]
    raw = {i: weights[i] for i in speaking}
    if not any(raw.values()):
        raw = dict.fromkeys(speaking, 1)
    if opponent and len(speaking) > 1:
        stands = {i: _standing(maps[i] or ()) for i in speaking}
        rivals = {i: (sum(stands.values()) - stands[i]) // (len(speaking) - 1) for i in speaking}
        scaled = {i: raw[i] * max(0, FULL + stands[i] - rivals[i]) for i in speaking}
        raw = scaled if any(scaled.values()) else raw
    total = sum(raw.values())
    shares = [raw.get(i, 0) * WEIGHT_STEPS // total for i in range(len(maps))]
    shares[max(raw, key=lambda i: (raw[i], -i))] += WEIGHT_STEPS - sum(shares)
    spoken = [(maps[i] or (), shares[i]) for i in speaking]
    combined = [
        (2 * sum(share * found[region] for found, share in spoken) + WEIGHT_STEPS) // (2 * WEIGHT_STEPS)
        for region in range(len(spoken[0][0]))
    ]
    return shares, combined


def _standing(found: Map) -> int:
    """How far a map's greatest value is above its mean, 0..255."""
    return max(found) - sum(found) // len(found)

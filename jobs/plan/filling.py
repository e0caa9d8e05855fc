"""How full sequences will be: documents like the sampled ones, packed in units as large as the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from jobs.plan.choosing import Stratum
from jobs.plan.estimating import LEVEL, Estimate
from jobs.plan.headers import SAMPLES
from jobs.plan.measuring import Measured
from operators.fitting import TOKENS, PackConfig, Size
from operators.packing import pack_items

DRAWS = 12
"""Times that documents are drawn for each unit."""
MOST_UNITS = 8
"""Units of a source that are packed in a draw; others are like them."""
MOST_DOCUMENTS = 3000
"""Of a unit: what is lost at the end of a larger one is less than one part in a thousand."""
UNSEEN = 0.001
"""What drawing the same documents again and again leaves untold of fill."""


def forecast_fill(
    strata: Sequence[Stratum], shards: Mapping[str, Sequence[Measured]], limits: tuple[int, ...], pack: PackConfig
) -> tuple[Estimate, dict[int, float]]:
    """Tokens over the places of all sequences, and how many sequences each unit has that was packed for it.

    limits: of a sequence, tokens first. Where `pack` says closing, a unit's emptiest sequence goes to a closing unit.
    """
    rng = np.random.default_rng(0)
    fills: list[float] = []
    sequences: dict[int, float] = {}
    for _ in range(DRAWS):
        used, packs = 0.0, 0.0
        for stratum in strata:
            more, amount = _draw(stratum, shards[stratum.source.label], limits, rng, sequences, pack)
            used, packs = used + more, packs + amount
        if packs:
            fills.append(used / (packs * limits[TOKENS]))
    if not fills:
        return Estimate(0.0, 0.0, 0.0), {}
    value = float(np.mean(fills))
    # Where one more draw would lie: the real units are one.
    spread = float(np.std(fills, ddof=1)) * (1 + 1 / DRAWS) ** 0.5
    wide = float(stats.t.ppf((1 + LEVEL) / 2, DRAWS - 1)) * spread + UNSEEN
    means = {unit: total / DRAWS for unit, total in sequences.items()}
    return Estimate(value, max(0.0, value - wide), min(1.0, value + wide)), means


def _draw(
    stratum: Stratum,
    shards: Sequence[Measured],
    limits: tuple[int, ...],
    rng: np.random.Generator,
    sequences: dict[int, float],
    pack: PackConfig,
) -> tuple[float, float]:
    """Tokens and sequences of a source, by one draw of documents for each of its units."""
    documents = [one.packed.items.get(ordinal, []) for one in shards for ordinal in one.holds[SAMPLES]]
    if not documents:
        return 0.0, 0.0
    sampled = sum(one.part.holds[SAMPLES] for one in shards)
    units: dict[int, float] = {}
    for part in stratum.parts:
        units[part.unit] = units.get(part.unit, 0.0) + part.holds[SAMPLES]
    every = -(-len(units) // MOST_UNITS)
    used, packs, seen = 0.0, 0.0, 0.0
    for unit, weight in list(units.items())[::every]:
        number = max(1, round(len(documents) * weight / sampled))
        chosen = rng.integers(0, len(documents), min(number, MOST_DOCUMENTS))
        items = [item for i in chosen for item in documents[i]]
        bins = pack_items([_aligned(size, pack.align) for size, _ in items], limits)
        tokens, count = float(sum(length for _, length in items)), float(len(bins))
        if pack.closing and bins:  # a closing unit's sequences are full but for its last
            count += sum(items[i][1] for i in bins[-1]) / limits[TOKENS] - 1
        larger = number / len(chosen)
        sequences[unit] = sequences.get(unit, 0.0) + count * larger
        used, packs, seen = used + tokens * larger, packs + count * larger, seen + weight
    scale = stratum.total(SAMPLES) / seen
    return used * scale, packs * scale


def _aligned(size: Size, align: int) -> Size:
    """The size with the padding that alignment puts behind a document."""
    tokens, images, patches, tiles, _ = size
    tokens = -(-tokens // align) * align
    return tokens, images, patches, tiles, tokens**2

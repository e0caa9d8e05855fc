"""The order of one pass over several sources: each is shuffled by itself, then their steps are merged in proportion."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipeline.errors import ConfigError
from pipeline.loading.order import Rows, shuffled
from pipeline.loading.packs import Packs

MERGING = 1
"""Seed of what is drawn for all sources together."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one source gives to every pass."""

    name: str
    blocks: tuple[tuple[int, int], ...]
    """Of each data file the number of its first row, and its rows."""
    num_rows: int
    """In a pass; more than the source has: each row of it once, or several times, and then some of them again."""


def checked_weights(weights: Mapping[str, float] | None, packs: Packs, *, shuffle: bool) -> dict[str, float] | None:
    """The weights by name in order. ConfigError for what is no weight, or of no source."""
    if weights is None:
        return None
    if not shuffle:
        raise ConfigError("weights of a pass in order, which has every pack once; say shuffle=True, or no weights")
    unknown = sorted(set(weights) - set(packs.sources))
    if unknown:
        raise ConfigError(
            f"weights name {', '.join(unknown)}, and {packs.url} has the sources {', '.join(packs.sources)}; "
            "choose of these"
        )
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ConfigError(f"weights give {name} {weight}; 0 or more expected, as passes over it in an epoch")
    return {name: float(weights[name]) for name in sorted(weights)}


def shares_of(packs: Packs, weights: Mapping[str, float]) -> list[Share]:
    """What each source gives to a pass, exact to one pack (halves go to the even number); nothing of weight 0."""
    shares = []
    for name in packs.sources:
        blocks = tuple((file.first, file.rows) for file in packs.files if file.source == name)
        num_rows, weight = sum(rows for _, rows in blocks), Fraction(str(weights.get(name, 1.0)))
        shares.append(Share(name, blocks, round(num_rows * weight)))
    return [share for share in shares if share.num_rows]


def mixed(shares: Sequence[Share], *, group: int, buffer: int, seed: int, epoch: int) -> Rows:
    """Every source's rows as often as its share says, int64 [sum of num_rows]; a pure function of its arguments.

    Each source is ordered by `shuffled` of its own files, once more with other draws for each time that it is gone
    over, and the last time is cut short. Of the n steps of a source (`group` rows each) the j-th stands at (j + u) / n
    of the pass, u drawn by source and epoch: so any stretch of a pass holds the sources in proportion, and what comes
    twice comes far apart. Rows that fill no step of their source are joined over sources, in an order that differs by
    epoch, to steps that are spread alike; what fills none of these either stands last.
    """
    draw = np.random.PCG64(np.random.SeedSequence([seed, epoch, MERGING])).random_raw
    steps: list[Rows] = []
    rest: list[Rows] = []
    for share in shares:
        numbers = np.concatenate([np.arange(first, first + rows) for first, rows in share.blocks])
        sizes = [rows for _, rows in share.blocks]
        key = int.from_bytes(hashlib.sha256(share.name.encode()).digest()[:4], "big")
        own: list[Rows] = []
        for number, start in enumerate(range(0, share.num_rows, len(numbers)), 1):
            order = shuffled(sizes, group=group, buffer=buffer, seed=seed, epoch=epoch, stream=(key, number))
            taken = numbers[order[: share.num_rows - start]]
            whole = len(taken) // group * group
            own.append(taken[:whole].reshape(-1, group))
            rest.append(taken[whole:])
        steps.append(np.concatenate(own))
    joined = np.concatenate([rest[i] for i in np.argsort(draw(len(rest)), kind="stable")])
    whole = len(joined) // group * group
    steps.append(joined[:whole].reshape(-1, group))
    places = [(np.arange(len(own)) + draw() / 2**64) / max(1, len(own)) for own in steps]
    merged = np.concatenate(steps)[np.argsort(np.concatenate(places), kind="stable")]
    return np.concatenate([merged.ravel(), joined[whole:]])

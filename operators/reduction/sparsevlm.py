"""`sparsevlm`: layer after layer keeps the tokens that the text looks at, and recycles the best of the others."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from operators.reduction.clustering import density_peaks
from operators.reduction.exact import decimal, share_of
from operators.reduction.method import Need, Ranked, Stage
from operators.reduction.plan import Clusters, ImageTokens, Ints, Reduction, sorted_order

RANK_LAYERS = (2, 6, 15, 19)
LIST_LAYERS = (2, 6, 15)
LISTS: dict[str, dict[int, tuple[int, int, int]]] = {
    "1.5": {192: (300, 200, 110), 128: (303, 110, 36), 96: (238, 48, 26), 64: (66, 30, 17)},
    "plus": {192: (300, 200, 118), 128: (238, 108, 60), 96: (246, 54, 28), 64: (66, 34, 20)},
}
"""Of 576 tokens, those that are kept from each of LIST_LAYERS on, by the mean over 32 layers that they make."""
PRIME = 2**31 - 1


class SparseVLM(Ranked):
    """SparseVLM (arXiv 2410.04417) in its three versions, with the ranking known before the model runs.

    1: a layer keeps int(rank x scale + bias) tokens, where rank is that of the attention from raters to visual tokens;
    it skips a layer with as many tokens as that rank. 1.5: fixed lists, for a mean of 192, 128, 96 or 64 of 576 tokens;
    other numbers of tokens have theirs in proportion, rounded down. plus: other lists, and nothing is recycled. 1 and
    1.5 take the best 30 % of what a layer drops, plus one, in clusters of ten by density peaks; each cluster's mean is
    a token more (the code averages, the paper says sum).

    What one ranking means. The authors rank at each of these layers, by its own attention, what is left with the
    clusters of the layer before. Here the scores rank once, for all layers. By them no cluster's mean is above a token
    that stays, so clusters live until the next layer of the schedule, where they go first: the counts are the authors',
    309, 204, 113 tokens for 192. Where a layer would recycle clusters alone it recycles nothing (version 1, from its
    second layer on), and where it would keep all tokens but one, which it recycles alone, it keeps that one, too.
    Clusters are found on stored features, not on a layer's states, and without the code's noise: places decide ties.

    Layers 2, 6 and 15 themselves run on fewer tokens: the mean of 2 x 576, 4 x 309, 9 x 204 and 17 x 113 is the 192 of
    the name. The code runs each of them in full, because its attention decides there.

    A job scores one query, a matrix of rank 1. Who has more of the matrix finds the scores by `raters` and `rated`, and
    the rank by `rank_of`; the heads of plus are `strongest_heads`. Its correction by the rotary map of ones is the
    decoder's to make.
    """

    stage: ClassVar[Stage] = "layers"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "features"})
    """Features for the clusters of 1 and 1.5; plus reads none."""

    method: Literal["sparsevlm"] = "sparsevlm"
    version: Literal["1", "1.5", "plus"] = "1.5"
    tokens: Literal[192, 128, 96, 64] = 192
    """Of 1.5 and plus: which list."""
    rank: int = Field(default=1, ge=1)
    """Of 1: the rank of the matrix that the scores stand for. Scores of one query are a matrix of one row."""
    scale: float = Field(default=13.5, gt=0, allow_inf_nan=False)
    """Of 1: tokens for each rank."""
    bias: float = Field(default=0.0, allow_inf_nan=False)
    """Of 1: tokens beside them."""

    @model_validator(mode="after")
    def _settings_are_read(self) -> SparseVLM:
        unread = ("tokens",) if self.version == "1" else ("rank", "scale", "bias")
        for name in unread:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"version {self.version} of sparsevlm does not read {name}; leave it out")
        return self

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.scores is not None
        order = sorted_order(tokens.scores)
        schedule: list[tuple[int, int]] = []
        clusters: list[Clusters] = []
        before, recycled = tokens.num_tokens, 0
        for layer, keep in self._keeps(before):
            seen = before + recycled
            if (self.version == "1" and seen == self.rank) or (keep >= before and not recycled):
                continue
            left = min(before, keep)
            taken = 0 if self.version == "plus" else min(num_recycled(seen - left), before - left)
            recycled = num_clusters(taken)
            if taken:
                assert tokens.features is not None
                members = order[left : left + taken]
                clusters.append(Clusters(layer, members, density_peaks(tokens.features[members], recycled)))
            schedule.append((layer, left))
            before = left
        return Reduction(
            (self.method,),
            tokens.num_tokens,
            tokens.grids,
            order=order,
            schedule=tuple(schedule),
            clusters=tuple(clusters),
        )

    def _keeps(self, num_tokens: int) -> list[tuple[int, int]]:
        """Layers and how many tokens the rule keeps there."""
        if not num_tokens:
            return []
        if self.version == "1":
            keep = max(1, int(self.rank * decimal(self.scale) + decimal(self.bias)))
            return [(layer, keep) for layer in RANK_LAYERS]
        keeps = LISTS[self.version][self.tokens]
        shares = (share_of(num_tokens, Fraction(keep, 576)) for keep in keeps)
        return list(zip(LIST_LAYERS, shares, strict=True))


def num_recycled(num_dropped: int) -> int:
    """How many of the tokens that a layer drops are recycled: 30 %, rounded down, and one."""
    return num_dropped * 3 // 10 + 1 if num_dropped else 0


def num_clusters(num_tokens: int) -> int:
    """Into how many clusters so many recycled tokens go: one of ten, rounded down, and one."""
    return num_tokens // 10 + 1 if num_tokens else 0


def raters(visual: npt.ArrayLike, text: npt.ArrayLike) -> Ints:
    """Text tokens that look at the image: more than the mean of softmax over text of visual x text, over the image.

    visual: [n, d], text: [m, d]. Means are compared in units of 2^-32, so that equals are equals on every machine;
    where all are equal all of them rate (the code would take the mean of none).
    """
    products = np.asarray(visual, np.float64) @ np.asarray(text, np.float64).T
    weights = np.exp(products - products.max(axis=1, keepdims=True))
    means = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    units = np.rint(means * 2**32).astype(np.int64)
    found = np.flatnonzero(units * len(units) > units.sum())
    return found if len(found) else np.arange(len(units))


def rated(attention: Ints, by: Ints) -> Ints:
    """[n] Scores of visual tokens: the sum of what the raters give them, in the order of their mean.

    attention: [text, n], of the mean of heads.
    """
    total: Ints = attention[by].sum(axis=0)
    return total


def strongest_heads(attention: Ints, num_heads: int = 14) -> Ints:
    """The heads of [heads, text, n] from which most attention goes from text to image, the strongest first (plus)."""
    return sorted_order(attention.sum(axis=(1, 2)))[:num_heads]


def rank_of(matrix: Ints) -> int:
    """The rank of a matrix of integers, exactly: by elimination modulo 2^31 - 1, without a tolerance.

    It is below the true rank only where that prime divides every minor of it.
    """
    rest = np.asarray(matrix, np.int64) % PRIME
    rank = 0
    for column in range(rest.shape[1]):
        below = np.flatnonzero(rest[rank:, column])
        if not len(below):
            continue
        pivot = rank + int(below[0])
        rest[[rank, pivot]] = rest[[pivot, rank]]
        inverse = pow(int(rest[rank, column]), -1, PRIME)
        row = rest[rank] * inverse % PRIME
        rest[rank + 1 :] = (rest[rank + 1 :] - rest[rank + 1 :, column, None] * row % PRIME) % PRIME
        rank += 1
        if rank == len(rest):
            break
    return rank

"""`mustdrop`: tokens that no word of the text looks at, and that stand out in nothing, leave after the first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from operators.reduction.exact import decimal
from operators.reduction.method import Need, Ranked, Stage
from operators.reduction.plan import ImageTokens, Ints, Reduction, sorted_order

Mask = npt.NDArray[np.bool_]

THRESHOLDS: dict[int, tuple[float, float]] = {192: (0.001, 0.001), 128: (0.0012, 0.001), 64: (0.011, 0.01)}
"""Global and individual threshold that the authors give for a mean of so many tokens of 576 (their README)."""


class MustDrop(Ranked):
    """Stages 2 and 3 of MustDrop (arXiv 2411.10803): the dual attention filter and the output-aware cache.

    A token leaves before `layer` if its share of all text's attention is below `global_threshold` and no text token
    gives it `individual_threshold`, unless it is one of the key set: the 8 % of the tokens that stand out most (47 of
    576).

    The authors filter again after layers 6, 10 and 14, by the attention of those layers. Scores are one row of text
    that all layers share, and of that row the same tokens pass again: those that passed are above either threshold of a
    smaller sum, too. So the plan has one step. For attention of each layer there are `survivors` and `cache_indices`.
    Stage 3 takes out of the cache of all layers from the first of these on what the last one dropped; with one step
    these layers never hold more. As the ranking is known beforehand, `layer` itself runs on fewer tokens, as the
    authors count them; their code runs it in full, because its attention decides.

    The order is: key tokens, others that pass, those that leave; each by its scores. Stage 1 is `mustdrop_merge`.
    """

    stage: ClassVar[Stage] = "layers"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "salience"})

    method: Literal["mustdrop"] = "mustdrop"
    layer: int = Field(default=2, ge=0, lt=2**15)
    """The first layer, from 0, that sees fewer."""
    tokens: Literal[192, 128, 64] = 192
    """For which the authors chose the thresholds: (0.001, 0.001), (0.0012, 0.001), (0.011, 0.01). They are no promise:
    an image has as many tokens left as pass."""
    global_threshold: float | None = Field(default=None, ge=0, le=1)
    """Of the sum of all scores. None: that of `tokens`."""
    individual_threshold: float | None = Field(default=None, ge=0, le=1)
    """Of the attention of one text token, which is 1 in all; of scores that have one row, their sum. None: that of
    `tokens`."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.scores is not None
        assert tokens.salience is not None
        key = key_tokens(tokens.salience)
        row = np.maximum(tokens.scores, 0)[None]  # as attention, which is never negative
        passed = survivors(row, int(row.sum()), *self.thresholds, key)
        order = np.lexsort((-tokens.scores, ~passed, ~key))  # the last key decides first, and places decide ties
        left = int(passed.sum())
        schedule = ((self.layer, left),) if left < tokens.num_tokens else ()
        return Reduction((self.method,), tokens.num_tokens, tokens.grids, order=order, schedule=schedule)

    @property
    def thresholds(self) -> tuple[float, float]:
        """Global and individual."""
        theirs = THRESHOLDS[self.tokens]
        given = (self.global_threshold, self.individual_threshold)
        return theirs[0] if given[0] is None else given[0], theirs[1] if given[1] is None else given[1]


def key_tokens(salience: Ints) -> Mask:
    """[n] Whether each is one of the ceil(8 % of n) that stand out most: 47 of 576, 40 of 496, 21 of 256, 6 of 64."""
    found = np.zeros(len(salience), np.bool_)
    found[sorted_order(salience)[: -(-8 * len(salience) // 100)]] = True
    return found


def survivors(
    attention: Ints, whole: int, global_threshold: float, individual_threshold: float, key: Mask | None = None
) -> Mask:
    """[n] Whether each token passes the dual filter of one layer, or is a key token.

    attention: [text, n] what each text token gives each visual one, in units of which `whole` are 1. A token leaves if
    it has less than `global_threshold` of the sum over all and less than `individual_threshold` of every text token.
    """
    totals = attention.sum(axis=0)
    ignored = totals < _at_least(global_threshold, int(totals.sum()))
    unnoticed = attention.max(axis=0, initial=0) < _at_least(individual_threshold, whole)
    passed: Mask = ~(ignored & unnoticed)
    return passed if key is None else passed | key


def cache_indices(kept: Sequence[Ints]) -> list[Ints]:
    """Stage 3: which of the tokens that each pruning layer saw may stay in its cache: those that the last one keeps.

    kept: of each pruning layer, which of the tokens that it saw it keeps. The lists grow from layer to layer shorter
    and all speak of the same tokens; the authors leave the caches of layers before the first one whole.
    """
    found = [kept[-1]] if kept else []
    for own in reversed(kept[:-1]):
        found.insert(0, own[found[0]])
    return found


def _at_least(threshold: float, whole: int) -> int:
    """The smallest integer that is not below that share of the whole: exact, whatever the size."""
    share = decimal(threshold)
    return -(-share.numerator * whole // share.denominator)

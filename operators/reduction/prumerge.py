"""LLaVA-PruMerge: the tokens whose salience is an outlier stay, and take in those that are like them."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.reduction.cosines import ONE, cosines, tamed
from operators.reduction.method import Method, Need, Stage
from operators.reduction.plan import ImageTokens, Ints, Reduction, merged_into

CHUNK = 256
"""Centres whose neighbours are sought at a time: their cosines with 2,304 tokens take 5 MB."""
NONE = -2 * ONE
"""Below any cosine."""


class PruMerge(Method):
    """Keeps the tokens over Q3 + 1.5 (Q3 - Q1) of the image's salience, and one for what is like none of them.

    Source: LLaVA-PruMerge (arXiv 2403.15388) and its repository's clip_encoder.py. Otherwise than there:

    - salience stands for the attention of CLS, and cosines are of what tokens show (features.py) for those of keys;
    - every token goes into one: of the kept ones that have it among their `neighbours` nearest, the one most like it,
      and if there is none into the extra token. The reference counts a token for each that has it so, kept ones too,
      and once more in the extra token;
    - a kept token weighs as much as all salience of the image, and what it takes in by its own, as there; but the sum
      is divided by the weights, as the paper has it. `sums` asks for the bare sum;
    - the extra token has the place of the most salient one that went into it, and does not stand last;
    - an image without any outlier, where the reference fails, becomes the extra token alone; with `plus` it is
      sampled as if it had one.
    """

    stage: ClassVar[Stage] = "merge"
    needs: ClassVar[frozenset[Need]] = frozenset({"salience", "features"})

    method: Literal["prumerge"] = "prumerge"
    plus: bool = False
    """Whether tokens are kept at even distances too (PruMerge+): one third of the mean distance of outliers apart."""
    neighbours: int = Field(default=32, ge=1)
    """Nearest tokens of a kept one that may go into it."""
    sums: bool = False
    """Whether weights are left as the reference has them: a kept token 1 and others their share of all salience."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.salience is not None
        assert tokens.features is not None
        num_tokens = tokens.num_tokens
        centres = outliers(tokens.salience)
        if self.plus:
            centres = np.union1d(centres, spread(num_tokens, len(centres)))
        target = self._nearest(tamed(tokens.features), centres)
        rest = np.flatnonzero(target < 0)
        if len(rest):
            target[rest] = rest[tokens.salience[rest].argmax()]
        kept, groups = merged_into(target)
        return Reduction(
            methods=(self.method,),
            num_tokens=num_tokens,
            grids=tokens.grids,
            kept=kept,
            groups=groups,
            shares=self._shares(tokens.salience, groups, centres),
        )

    def _nearest(self, features: Ints, centres: Ints) -> Ints:
        """The centre that each token goes into, itself if it is one; -1: none has it among its nearest."""
        target = np.full(len(features), -1)
        best = np.full(len(features), NONE)
        for start in range(0, len(centres), CHUNK):
            chunk = centres[start : start + CHUNK]
            found = cosines(features[chunk], features)
            found[np.arange(len(chunk)), chunk] = NONE  # nobody is one's own neighbour
            nearest = np.argsort(-found, axis=1, kind="stable")[:, : self.neighbours]
            for centre, row, places in zip(chunk, found, nearest, strict=True):
                closer = places[row[places] > best[places]]
                target[closer], best[closer] = centre, row[closer]
        target[centres] = centres
        return target

    def _shares(self, salience: Ints, groups: Ints, centres: Ints) -> np.ndarray:
        weights = salience - salience.min() + 1  # as a softmax, it leaves no token without any
        total = weights.sum()
        weights[centres] = total
        by = total if self.sums else np.bincount(groups, weights)[groups]
        return np.asarray((weights / by).astype(np.float32))


def outliers(salience: Ints) -> Ints:
    """Places over the upper bound of Tukey, ascending; quartiles are interpolated, and here exact.

    Source: `outlier_dectection` of the reference, with numpy's percentile.
    """
    values = np.sort(salience)

    def quartile(number: int) -> int:
        """Four times it."""
        place, part = divmod((len(values) - 1) * number, 4)
        after = min(place + 1, len(values) - 1)
        return int(4 * values[place] + part * (values[after] - values[place]))

    low, high = quartile(1), quartile(3)
    return np.flatnonzero(8 * salience > 2 * high + 3 * (high - low))


def spread(num_tokens: int, num_outliers: int) -> Ints:
    """Places at even distances, of an image with so many outliers; its last token is none, as in the reference."""
    step = num_tokens // max(1, num_outliers)
    return np.arange(step // 6, num_tokens - 1, max(1, step // 3))

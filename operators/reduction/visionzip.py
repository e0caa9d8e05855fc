"""VisionZip: the tokens that stand out stay, and the others are gathered into a few."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.reduction.cosines import cosines, tamed
from operators.reduction.method import Method, Need, Stage
from operators.reduction.plan import ImageTokens, Reduction, merged_into, sorted_order


class VisionZip(Method):
    """The `dominant` most salient tokens, and `contextual` ones that take in all others, each the one most alike.

    Targets are every step-th of the tokens that are not dominant, step being their number over `contextual`.
    Source: VisionZip (arXiv 2412.04467) and its repository's clip_encoder.py. Otherwise than there:

    - salience stands for the attention of CLS, and cosines are of what tokens show (features.py) for those of keys;
    - CLS itself, which the reference keeps as one more and LLaVA drops again, is none of our tokens;
    - all tokens stand in the order of the image, not the contextual ones behind the dominant;
    - the mean of the tokens that a target takes in and the target itself are averaged, where the reference adds the
      two, which makes contextual tokens twice as long: `sums` asks for that.
    """

    stage: ClassVar[Stage] = "merge"
    needs: ClassVar[frozenset[Need]] = frozenset({"salience", "features"})

    method: Literal["visionzip"] = "visionzip"
    dominant: int = Field(default=191, ge=1)
    """Tokens that stay as they are, of `of` tokens."""
    contextual: int = Field(default=30, ge=1)
    """Tokens that take in the others, of `of` tokens."""
    of: int = Field(default=576, ge=1)
    """Tokens that the two counts are meant for. An image of more or fewer, over all its views, has both in proportion,
    rounded down, at least one each, and no more than it has tokens."""
    sums: bool = False
    """Whether a target and what it takes in are added, as the reference does, and not averaged."""

    def counts(self, num_tokens: int) -> tuple[int, int]:
        """Dominant and contextual tokens of an image of so many."""
        dominant = min(num_tokens, max(1, self.dominant * num_tokens // self.of))
        return dominant, min(num_tokens - dominant, max(1, self.contextual * num_tokens // self.of))

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.salience is not None
        assert tokens.features is not None
        num_tokens = tokens.num_tokens
        dominant, contextual = self.counts(num_tokens)
        others = np.sort(sorted_order(tokens.salience)[dominant:])
        step = max(1, len(others) // max(1, contextual))
        targets = others[::step][:contextual]
        taken = np.setdiff1d(others, targets)
        target = np.arange(num_tokens)
        if len(taken):
            features = tamed(tokens.features)
            target[taken] = targets[cosines(features[taken], features[targets]).argmax(axis=1)]
        kept, groups = merged_into(target)
        return Reduction(
            methods=(self.method,),
            num_tokens=num_tokens,
            grids=tokens.grids,
            kept=kept,
            groups=groups,
            shares=self._shares(groups, kept),
        )

    def _shares(self, groups: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """A target weighs as much as all that it takes in."""
        taken = np.bincount(groups)[groups] - 1
        shares = 1 / np.maximum(1, taken)
        shares[kept] = 1
        if not self.sums:
            shares /= np.where(taken > 0, 2, 1)
        return np.asarray(shares.astype(np.float32))

"""TokenFLEX: how many tokens an image has is drawn, or chosen by what is asked; its views are pooled to that."""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from itertools import accumulate
from math import isqrt
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from operators.reduction.method import Method, Need, Stage
from operators.reduction.plan import ImageTokens, Reduction
from operators.reduction.pooling import pooled_grids, pooled_sums, pooling_plan
from operators.reduction.seeded import DRAWN_BITS, draw


def _is_square(count: int) -> int:
    if isqrt(count) ** 2 != count:
        raise ValueError(f"{count} is no square; a view is pooled to n x n tokens, such as 64, 144 or 256")
    return count


Count = Annotated[int, Field(gt=0, le=1 << 20), AfterValidator(_is_square)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Flexible(Method):
    """Views pooled to a number of tokens, n x n. A side that is shorter than n stays as it is."""

    stage: ClassVar[Stage] = "merge"
    needs_grids: ClassVar[bool] = True

    @abstractmethod
    def count(self, tokens: ImageTokens) -> int:
        """Tokens of each view."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        """`pools` and `kept`."""
        side = isqrt(self.count(tokens))
        return pooling_plan(self.method, tokens, pooled_grids(tokens.grids, [side] * len(tokens.grids)))


class TokenFlex(Flexible):
    """64, 144 or 256 tokens a view, drawn: 184 on average, 72 % of always 256.

    All images of a sample have the same number unless `draws` says otherwise. The draw
    depends on the seed and the sample alone, so it is the same each time and wherever it is made; another seed is
    another epoch's. Source: arXiv 2504.03154; the probabilities are its choice of three (2:3:5).
    """

    method: Literal["tokenflex"] = "tokenflex"
    probabilities: dict[Count, Weight] = Field(default={64: 0.2, 144: 0.3, 256: 0.5}, min_length=1)
    """Of each number of tokens; as large against each other as said, whatever their sum."""
    draws: Literal["sample", "image"] = "sample"
    """Whether all images of a sample have the same number of tokens a view, or each its own."""
    seed: int = 0

    def count(self, tokens: ImageTokens) -> int:
        """One draw of 64 bits, against sums of the exact values of the probabilities."""
        name = tokens.document if self.draws == "sample" else tokens.identity
        counts = sorted(self.probabilities)  # a recipe does not hold in which order a job names them
        sums = list(accumulate(Fraction(self.probabilities[count]) for count in counts))
        drawn = Fraction(draw(self.seed, self.method, name), 1 << DRAWN_BITS) * sums[-1]
        return next(count for count, end in zip(counts, sums, strict=True) if drawn < end)


class TokenFlexByScores(Flexible):
    """The fewest tokens a view at which pooling still shows what answers best.

    An image that is asked for a small thing has its scores in one place, which coarse pooling averages away. So the
    count is the least at which some pooled token has `shown` of the best token's score; the largest, if none has.
    The rule is ours: the paper leaves the choice to whoever runs the model.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})

    method: Literal["tokenflex_by_scores"] = "tokenflex_by_scores"
    counts: tuple[Count, ...] = Field(default=(64, 144, 256), min_length=1)
    """Numbers of tokens to choose from."""
    shown: float = Field(default=0.75, gt=0, le=1)
    """Share of the best score that has to survive pooling."""

    def count(self, tokens: ImageTokens) -> int:
        """Whole numbers alone decide: sums of scores, and the exact value of `shown`."""
        assert tokens.scores is not None
        shown = Fraction(self.shown)
        best = int(tokens.scores.max(initial=0))
        *coarse, finest = sorted(self.counts)
        for count in coarse:
            pools = pooled_grids(tokens.grids, [isqrt(count)] * len(tokens.grids))
            sums, sizes = pooled_sums(tokens.scores, tokens.grids, pools)
            if any(int(total) >= shown * best * int(size) for total, size in zip(sums, sizes, strict=True)):
                return count
        return finest

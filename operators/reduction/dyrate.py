"""`dyrate`: the further an answer goes, the fewer visual tokens its tokens see."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from operators.reduction.exact import share_of
from operators.reduction.method import Ranked, Stage
from operators.reduction.plan import ImageTokens, Reduction, sorted_order

Count = Annotated[int, Field(ge=1, lt=2**31)]


class DyRate(Ranked):
    """From each answer token of the schedule on, visual tokens are reduced at the k-th of K rates, r_k = (k - 1) / K.

    DyRate (arXiv 2501.14204) learns the rate while it generates: at every step a classifier sees how attention is
    spread over system, image, instruction and answer, and picks a rate. That is no step of data preparation. This is
    its offline counterpart: the same K rates on a schedule that never goes back, and one ranking of the tokens, by
    their scores instead of FastV's attention, which a trainer uses as a mask for each position of an answer. The
    default, three quarters from token 32, half from 64 and a quarter from 128, is ours: the paper names none.

    The abstract calls r a rate of reduction, so the share that stays is 1 - r_k: all of the tokens at k = 1, one K-th
    at k = K.
    """

    stage: ClassVar[Stage] = "answer"

    method: Literal["dyrate"] = "dyrate"
    rates: Count = 4
    """K: how many rates there are."""
    schedule: tuple[tuple[Count, Count], ...] = Field(default=((32, 2), (64, 3), (128, 4)), min_length=1)
    """(answer token, k): from that token of an answer on, from 0, the k-th rate holds; before the first of them the
    first rate, which leaves out nothing."""

    @model_validator(mode="after")
    def _never_goes_back(self) -> DyRate:
        if any(later[0] <= step[0] or later[1] <= step[1] for step, later in pairwise(self.schedule)):
            raise ValueError("answer tokens and rates of a schedule must both ascend")
        if self.schedule[-1][1] > self.rates:
            raise ValueError(f"rate {self.schedule[-1][1]} of {self.rates}: rates are numbered 1 to rates")
        return self

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.scores is not None
        total = tokens.num_tokens
        decay = tuple((answer_token, share_of(total, self.share(rate))) for answer_token, rate in self.schedule)
        return Reduction((self.method,), total, tokens.grids, order=sorted_order(tokens.scores), decay=decay)

    def share(self, rate: int) -> Fraction:
        """Of the tokens that the k-th rate leaves."""
        return 1 - Fraction(rate - 1, self.rates)

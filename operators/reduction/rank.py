"""`rank`: one order of an image's tokens by what it is asked, and how many of them each layer still sees."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from operators.reduction.exact import decimal, share_of
from operators.reduction.method import Ranked, Stage
from operators.reduction.plan import ImageTokens, Reduction, sorted_order

Steps = list[tuple[int, int]]
Layer = Annotated[int, Field(ge=0, lt=2**15)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Tokens = Annotated[int, Field(strict=True, gt=0)]
Left = Annotated[
    Annotated[Tokens, Tag("tokens")] | Annotated[Share, Tag("share")],
    Discriminator(lambda value: "tokens" if isinstance(value, int) else "share"),
]
"""What is left before a layer."""
Named = Literal["pyramid", "fastv", "progressive"]
Schedule = Annotated[
    Annotated[Named, Tag("name")] | Annotated[tuple[tuple[Layer, Left], ...], Tag("list")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "list"),
]

PROGRESSIVE: tuple[tuple[int, int], ...] = ((0, 576), (7, 256), (16, 144), (24, 64))
"""Layer and tokens left of 576: 7, 9, 8 and 8 layers, 250 tokens in the mean of 32."""


class Rank(Ranked):
    """Ranks tokens by their scores once; before each layer of the schedule only the first of that order stay.

    fastv: FastV (arXiv 2403.06764), K = 2, R = 0.5: before layer K a share of R is left out. pyramid: PyramidDrop
    (arXiv 2410.17247): before layers 8, 16, 24 int(k x 0.5), int(k x 0.25), int(k x 0.125) of k tokens are left.
    progressive: 576, 256, 144, 64 tokens, a schedule of our own sources and of no paper.

    Both papers rank anew at each layer by the attention of that layer: FastV by what the last token pays, PyramidDrop
    by the last of the instruction. Here one ranking, from the scores, serves all layers: what a layer keeps is a prefix
    of what the one before it kept. A token that a deep layer alone would have ranked high may be gone by then. In
    return the order is known before the model runs, and no layer has to return its attention.
    """

    stage: ClassVar[Stage] = "layers"

    method: Literal["rank"] = "rank"
    schedule: Schedule = "pyramid"
    """A name, or a list of (layer, what is left before it): tokens as an integer, a share of the k tokens with a point
    (1 is one token, 1.0 is all)."""
    layer: Layer = 2
    """K of fastv: the first layer, from 0, that sees fewer."""
    drop: float = Field(default=0.5, ge=0, lt=1)
    """R of fastv: the share that is left out."""
    layers: tuple[Layer, ...] = (8, 16, 24)
    """Of pyramid: the layers that see fewer than the one before."""
    ratios: tuple[Share, ...] = (0.5, 0.25, 0.125)
    """Of pyramid: the share of the k tokens that is left before each of them."""

    @model_validator(mode="after")
    def _schedule_is_one(self) -> Rank:
        if len(self.layers) != len(self.ratios) or not self.layers:
            raise ValueError("layers and ratios of pyramid go in pairs: as many of one as of the other, one at least")
        if any(later >= ratio for ratio, later in pairwise(self.ratios)):
            raise ValueError("each of ratios must be smaller than the one before it")
        _check_ascending(self.layers)
        if not isinstance(self.schedule, str):
            _check_listed(self.schedule)
        for name, owner in (("layer", "fastv"), ("drop", "fastv"), ("layers", "pyramid"), ("ratios", "pyramid")):
            if self.schedule != owner and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is a setting of schedule {owner}; this job's schedule does not read it")
        return self

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.scores is not None
        return Reduction(
            (self.method,),
            tokens.num_tokens,
            tokens.grids,
            order=sorted_order(tokens.scores),
            schedule=tuple(fewer(tokens.num_tokens, self.steps(tokens.num_tokens))),
        )

    def steps(self, num_tokens: int) -> Steps:
        """Layer and tokens of each entry of the schedule, of so many tokens; all rounded down, to one at least.

        PyramidDrop's code truncates the same product of floats, which for some ratios is one less than the decimal
        says. A number of tokens under `progressive` other than 576 has each of its counts in proportion.
        """
        if self.schedule == "fastv":
            return [(self.layer, share_of(num_tokens, 1 - decimal(self.drop)))]
        if self.schedule == "pyramid":
            shares = zip(self.layers, self.ratios, strict=True)
            return [(layer, share_of(num_tokens, decimal(ratio))) for layer, ratio in shares]
        if self.schedule == "progressive":
            return [(layer, share_of(num_tokens, Fraction(left, 576))) for layer, left in PROGRESSIVE]
        return [
            (layer, left if isinstance(left, int) else share_of(num_tokens, decimal(left)))
            for layer, left in self.schedule
        ]


def fewer(num_tokens: int, steps: Steps) -> Steps:
    """The steps that leave fewer tokens than there were; a schedule never brings one back."""
    found: Steps = []
    for layer, tokens in steps:
        if tokens < num_tokens:
            found.append((layer, tokens))
            num_tokens = tokens
    return found


def _check_ascending(layers: tuple[int, ...]) -> None:
    if any(later <= layer for layer, later in pairwise(layers)):
        raise ValueError("layers must ascend, each one named once")


def _check_listed(schedule: tuple[tuple[int, int | float], ...]) -> None:
    if not schedule:
        raise ValueError("a schedule names one layer at least; without any, leave rank out of the job")
    _check_ascending(tuple(layer for layer, _ in schedule))
    for (_, left), (layer, later) in pairwise(schedule):
        if type(left) is type(later) and later > left:
            raise ValueError(f"layer {layer} asks for more than the layer before it: {later} after {left}")

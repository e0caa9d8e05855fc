"""How much each way of knowing counts. Apart from `score`, so that reading a job imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCORE_VERSION = 3
"""Of the operator `score`; here, because the recipe names it and must not import torch for it."""
WEIGHT_STEPS = 1000
"""Weights count in thousandths, so that the combined map is integer arithmetic."""


class ScoreConfig(BaseModel):
    """Weights of the three ways of knowing; those that have something to say of a picture are divided by their sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    propositional: float = Field(0.33, ge=0, le=1)
    """Information content: entropy."""
    perspectival: float = Field(0.33, ge=0, le=1)
    """Salience: edges, contrast with what is around, text, colour."""
    participatory: float = Field(0.34, ge=0, le=1)
    """How well a region fits what is said to it: a user's words, or the neighbouring text."""
    balance: Literal["fixed", "opponent"] = "fixed"
    """fixed: these weights for every picture; opponent: a map that stands out against the others counts more."""
    entropy: Literal["luminance", "channels"] = "luminance"
    """Of a region's shades, over its bins; or of the 13 channels of its texture array, over the picture's range."""
    encoder: str | None = None
    """A local folder with SigLIP or CLIP, or a file of `lodepack relevance train`; absent: the small one that ships."""

    @model_validator(mode="after")
    def _some_weight(self) -> ScoreConfig:
        if not any(self.steps()):
            raise ValueError("one weight must be at least 0.001; to switch scoring off say score: null")
        return self

    def steps(self) -> tuple[int, int, int]:
        """The weights in thousandths: propositional, perspectival, participatory."""
        propositional, perspectival, participatory = (
            round(weight * WEIGHT_STEPS) for weight in (self.propositional, self.perspectival, self.participatory)
        )
        return propositional, perspectival, participatory

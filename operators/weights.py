"""How much each way of knowing counts. Apart from `score`, so that reading a job imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCORE_VERSION = 1
"""Of the operator `score`; here, because the recipe names it and must not import torch for it."""
WEIGHT_STEPS = 1000
"""Weights count in thousandths, so that the combined map is integer arithmetic."""


class ScoreConfig(BaseModel):
    """Weights of the ways of knowing; they are divided by their sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    propositional: float = Field(0.5, ge=0, le=1)
    """Information content: entropy of luminance."""
    perspectival: float = Field(0.5, ge=0, le=1)
    """Salience: density of edges."""

    @model_validator(mode="after")
    def _some_weight(self) -> ScoreConfig:
        if not any(self.steps()):
            raise ValueError("one weight must be at least 0.001; to switch scoring off say score: null")
        return self

    def steps(self) -> tuple[int, int]:
        """The weights in thousandths: propositional, perspectival."""
        return round(self.propositional * WEIGHT_STEPS), round(self.perspectival * WEIGHT_STEPS)

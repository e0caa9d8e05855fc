"""How much each way of knowing counts. Apart from `score`, so that reading a job imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ScoreConfig(BaseModel):
    """Weights of the ways of knowing; they are divided by their sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    propositional: float = Field(0.5, ge=0, le=1)
    """Information content: entropy of luminance."""
    perspectival: float = Field(0.5, ge=0, le=1)
    """Salience: density of edges."""

    @model_validator(mode="after")
    def _some_weight(self) -> ScoreConfig:
        if self.propositional + self.perspectival <= 0:
            raise ValueError("one weight must be above 0; to switch scoring off say score: null")
        return self

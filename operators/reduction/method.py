"""The base of every method: its settings are fields, what it needs and when it acts are class variables."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from operators.reduction.plan import ImageTokens, Reduction

Stage = Literal["arrange", "merge", "layers", "answer"]
STAGES: tuple[Stage, ...] = ("arrange", "merge", "layers", "answer")
"""arrange: tokens change their order on the way out of the encoder; merge: fewer of them have a place in the sequence;
layers: fewer are left from some layer of the language model on; answer: fewer are seen late in an answer. A job may
name one method of each, in this order."""
Need = Literal["scores", "salience", "features"]


class Method(BaseModel):
    """A pure function of one image's tokens. Its settings are the fields; a job names it by `method`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: ClassVar[Stage]
    needs: ClassVar[frozenset[Need]] = frozenset()
    """Which of the tokens' optional fields it reads."""
    needs_grids: ClassVar[bool] = False
    """Whether it can only follow what leaves grids as they are."""

    method: str

    def files(self) -> tuple[str, ...]:
        """Paths of the user's files that decide what it does."""
        return ()

    def refuses(self, rows: int, cols: int) -> str | None:  # noqa: ARG002 - most take any
        """Why no view may have a grid of rows x cols; None if it may."""
        return None

    @abstractmethod
    def plan(self, tokens: ImageTokens) -> Reduction:
        """What becomes of the tokens: those fields alone that are this method's.

        InputError `reduction-grid` where an image has a grid that the method cannot take, with the grid and what would
        do. Never another error for any tokens.
        """


class Ranked(Method):
    """A method that ranks tokens by scores."""

    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})

    scores: str | None = None
    """A file of yours, .jsonl or .parquet: rows of {"key": ..., "image": number in its document, "scores": one of each
    visual token}, such as a decoder's attention; absent: by what the job's `score` finds."""

    def files(self) -> tuple[str, ...]:
        """The file of scores."""
        return () if self.scores is None else (self.scores,)

"""WiCo: a window of tokens becomes one that has the features of all of them, joined; WiCo+ spreads them out again."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from operators.reduction.blocks import block_tokens, refusal
from operators.reduction.method import Method, Stage
from operators.reduction.plan import ImageTokens, Reduction
from pipeline.errors import InputError, Reason

Side = Annotated[int, Field(gt=0, le=64)]


class Windowed(Method):
    """What both have in common."""

    stage: ClassVar[Stage] = "merge"
    needs_grids: ClassVar[bool] = True

    window: tuple[Side, Side] = (2, 2)
    """Rows and columns of tokens that become one."""

    def refuses(self, rows: int, cols: int) -> str | None:
        """Why blocks of it do not divide rows x cols."""
        return refusal((rows, cols), self.window)

    def plan(self, tokens: ImageTokens) -> Reduction:
        """`window` and `kept`. InputError `reduction-grid` where the window does not divide a view's grid."""
        windows = block_tokens(tokens.grids, self.window)
        return Reduction((self.method,), tokens.num_tokens, tokens.grids, kept=windows[:, 0], window=windows)


class WiCo(Windowed):
    """Each window becomes one token, at the place of its first: 24 x 24 tokens become 12 x 12.

    The features of a window are joined channel by channel (loading.reduction.windows); none is averaged. Source:
    arXiv 2504.04024 and JackYFL/WiCo @5d4009a, which names the output grid, 12 x 12 of 24 x 24; a window says the same
    of grids of any size. Its kernel is the window exactly where the output divides the grid; elsewhere it mixes up
    features or fails, so we refuse such a grid. A window of 1 x 4 has the tokens that MiniGPT-v2 joins (one by one).
    """

    method: Literal["wico"] = "wico"


class WiCoPlus(Windowed):
    """WiCo whose tokens are spread over as many as there were before the last layers: 144 become 576 at layer 30.

    They are interpolated along their sequence, the ends kept; positions behind them move on, and no added token is
    trained (loading.reduction.expanding). Source: as WiCo, modeling_llama_enlarge_imgtokens.py. It puts the labels of
    added tokens before the whole sequence, which is the same while nothing in front of the image is trained; we put
    them where the image is.
    """

    method: Literal["wico_plus"] = "wico_plus"
    layer: int = Field(default=30, ge=0)
    """The layer of the language model, from 0, before which they are spread; the reference has 32 layers."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        """As WiCo, and `expand`. InputError `reduction-grid` too where marks stand between an image's tokens."""
        if tokens.has_marks:
            why = "marks stand between its tokens, which wico_plus spreads as one stretch; wico would do"
            raise InputError(Reason.REDUCTION_GRID, why)
        reduction = super().plan(tokens)
        return reduction.then(Reduction((), tokens.num_tokens, expand=(self.layer, tokens.num_tokens)))

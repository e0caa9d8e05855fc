"""How images become views: one scheme a file, each exact arithmetic on (width, height).

A scheme is a frozen pydantic config that can plan. A further scheme is its file and one name in `SchemeConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol, Self, get_args, runtime_checkable

from pydantic import Field

from operators.slicing.hires_llava import HiresLlavaConfig
from operators.slicing.idefics3 import Idefics3Config
from operators.slicing.internvl import InternVLConfig
from operators.slicing.layout import ALONE
from operators.slicing.llama4 import Llama4Config
from operators.slicing.llava_1_5 import Llava15Config
from operators.slicing.llava_next import LlavaNextConfig
from operators.slicing.llava_onevision import LlavaOnevisionConfig
from operators.slicing.minicpm_v import MiniCPMVConfig
from operators.slicing.phi3_5_v import Phi35VConfig
from operators.slicing.pixtral import PixtralConfig
from operators.slicing.qwen import QwenConfig
from operators.slicing.vit import VitConfig
from pipeline.types import Place, SlicePlan

SchemeConfig = Annotated[
    Llava15Config
    | LlavaNextConfig
    | LlavaOnevisionConfig
    | InternVLConfig
    | HiresLlavaConfig
    | VitConfig
    | QwenConfig
    | MiniCPMVConfig
    | Idefics3Config
    | PixtralConfig
    | Llama4Config
    | Phi35VConfig,
    Field(discriminator="scheme"),
]
"""What the `slicing` section of a profile validates to."""


class Scheme(Protocol):
    """The config of one scheme; `scheme` is its name in profiles."""

    @property
    def scheme(self) -> str: ...

    @property
    def patch(self) -> int:
        """Side of one vision patch, in pixels."""
        ...

    def plan(self, width: int, height: int, tokens: Mapping[str, str], place: Place = ALONE) -> SlicePlan:
        """The views and layout that the family's own processor makes of a `width` x `height` pixel image.

        tokens: literals by role (`TokenRoles`), those that the family has. place: the image's place among those of
        its document. Raises InputError (image-sliver) for a shape that the family's processor refuses.
        """
        ...


@runtime_checkable
class Tiled(Scheme, Protocol):
    """The config of a scheme that cuts a picture into tiles of one size."""

    def at_most(self, tiles: int) -> Self:
        """The same config with at most so many tiles (at least 1) a picture, or the fewest that it can have.

        A view of the whole picture is not counted. Where no picture has more, the plan is the same.
        """
        ...


SCHEMES: dict[str, type[Scheme]] = {
    scheme.model_fields["scheme"].default: scheme for scheme in get_args(get_args(SchemeConfig)[0])
}
"""Every scheme by its name in profiles."""

"""How images become views: one scheme a file, each exact arithmetic on (width, height).

A scheme is a frozen pydantic config that can plan. A further scheme is its file and one name in `SchemeConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol, get_args

from pydantic import Field

from operators.slicing.llava_next import LlavaNextConfig
from operators.slicing.qwen import QwenConfig
from pipeline.types import SlicePlan

SchemeConfig = Annotated[
    LlavaNextConfig | QwenConfig,
    Field(discriminator="scheme"),
]
"""What the `slicing` section of a profile validates to."""


class Scheme(Protocol):
    """The config of one scheme; `scheme` is its name in profiles."""

    @property
    def scheme(self) -> str: ...

    def plan(self, width: int, height: int, tokens: Mapping[str, str]) -> SlicePlan:
        """The views and layout that the family's own processor makes of a `width` x `height` pixel image.

        tokens: literals by role: `placeholder`, and `image_start` and `image_end` where the family has them.
        Raises InputError (image-sliver) for a shape that the family's processor refuses.
        """
        ...


SCHEMES: dict[str, type[Scheme]] = {
    scheme.model_fields["scheme"].default: scheme for scheme in get_args(get_args(SchemeConfig)[0])
}
"""Every scheme by its name in profiles."""

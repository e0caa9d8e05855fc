"""The marks that every family's image layout shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.types import Modality, Place, Run

ALONE = Place()
"""The only image of its document."""


def enclosed(runs: Iterable[Run], tokens: Mapping[str, str]) -> tuple[Run, ...]:
    """`runs` between one `image_start` and one `image_end` marker, each only if the family has it.

    tokens: literal of each role. Zero-length runs are left out.
    """
    start = [Run(tokens["image_start"], Modality.MARKER, -1, 1)] if "image_start" in tokens else []
    end = [Run(tokens["image_end"], Modality.MARKER, -1, 1)] if "image_end" in tokens else []
    return (*start, *(run for run in runs if run.count), *end)

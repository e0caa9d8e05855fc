"""The grids that an image's visual tokens stand in: those of its views, or of tiles that are stitched together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from operators.reduction.plan import Grid, Ints
from pipeline.operator import Row

STITCHED = "stitched"
"""Kind of a grid whose rows run through several tiles."""


class TokenGrids(NamedTuple):
    """The grids of an image in the order of its sequence."""

    grids: tuple[Grid, ...]
    kinds: tuple[str, ...]
    places: tuple[Grid, ...]
    views: tuple[tuple[int, ...], ...]
    """Numbers of the views that make up each grid: one, or those of stitched tiles."""


def visual_views(runs: Sequence[Row]) -> Ints:
    """The view of each visual token of an image, [n], in the order of its sequence. Markers are none."""
    views = np.repeat([run["view"] for run in runs], [run["count"] for run in runs])
    return views[views >= 0].astype(np.int64)


def has_marks(runs: Sequence[Row]) -> bool:
    """Whether anything stands between an image's visual tokens."""
    visual = [run["view"] >= 0 for run in runs]
    return True in visual and not all(visual[visual.index(True) : len(visual) - visual[::-1].index(True)])


def token_grids(plan: Row, runs: Sequence[Row]) -> TokenGrids:
    """The grids of an image's plan and layout (PLAN and RUN rows).

    Views whose tokens stand among each other in the sequence are tiles of one raster (LLaVA-NeXT, Phi-3.5-V), whose
    rows have the columns of all tiles of a row, and which goes on in the tiles below; every other view is a grid by
    itself.
    """
    of_token = visual_views(runs)
    stretches: list[tuple[list[int], int]] = []
    start = 0
    while start < len(of_token):
        members, end = [int(of_token[start])], start + 1
        while True:  # until nothing of these views stands behind the end
            last = int(np.flatnonzero(np.isin(of_token, members))[-1]) + 1
            members = np.unique(of_token[start:last]).tolist()
            if last == end:
                break
            end = last
        if stretches and len(members) > 1 and len(stretches[-1][0]) > 1:
            above, count = stretches.pop()
            stretches.append((above + members, count + end - start))
        else:
            stretches.append((members, end - start))
        start = end
    found = [_grid(plan["views"], members, count) for members, count in stretches]
    return TokenGrids(*zip(*found, strict=True)) if found else TokenGrids((), (), (), ())


def _grid(views: Sequence[Row], members: Sequence[int], num_tokens: int) -> tuple[Grid, str, Grid, tuple[int, ...]]:
    first = views[members[0]]
    if len(members) == 1:
        return (first["rows"], first["cols"]), first["kind"], (first["row"], first["col"]), tuple(members)
    cols = sum(views[k]["cols"] for k in members if views[k]["row"] == first["row"])
    return (num_tokens // cols, cols), STITCHED, (0, 0), tuple(members)

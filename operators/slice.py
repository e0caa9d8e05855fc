"""Plans the views of each image from its size alone, and notes what its document asks it: no pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from operators.discrete.config import SCHEME
from operators.placement import AS_IT_IS, PlacementConfig, place
from operators.profiles import Profile
from operators.relevance.query import Query, queries
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import plan_regions
from pipeline.errors import InputError
from pipeline.operator import Row, map_rows
from pipeline.schema import SLICED, SMALLS
from pipeline.types import Canvas, Place, Run, SegmentKind, SlicePlan, View

KNOWN_PLANS = 4096
"""Plans that are kept: of pictures of one camera or one screen there are few, of any there are some kilobytes each."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Adds `plans` (views, canvas, native grid), `layouts` (the literal runs around them) and `queries`, one per image.

    Orders the segments of a document as the job wants its pictures placed.
    """

    profile: Profile
    max_regions: int | None
    """With a budget: most regions that an image may have; None plans the family's own views."""
    placement: PlacementConfig = AS_IT_IS
    _known: dict[tuple[int, int, Place], tuple[Row, list[Row]]] = field(default_factory=dict, init=False, repr=False)
    name = "slice"
    version = 3

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, SLICED, self.name, self._slice, (SMALLS.name,))

    def _slice(self, row: Row) -> Row:
        segments = place(row["segments"], self.placement)
        images = [i for i, segment in enumerate(segments) if segment["kind"] == SegmentKind.IMAGE]
        plans: list[tuple[Row, list[Row]]] = []
        number, count = 0, sum(picture["codes"] is None for picture in row["pictures"])
        for i, picture in zip(images, row["pictures"], strict=True):
            if picture["codes"] is not None:
                plans.append(_plan_rows(discrete_plan(picture)))
                continue
            try:
                where = Place(number, count)  # among those that the model's tower sees
                number += 1
                plans.append(self._planned(picture["width"], picture["height"], where))
            except InputError as error:
                segment = segments[i]
                error.member, error.segment = segment["member"], i
                error.offset, error.size = segment["offset"], segment["size"]
                raise
        return {
            "segments": segments,
            "queries": _placed(queries(row["segments"]), row["segments"], segments),
            "plans": [plan for plan, _ in plans],
            "layouts": [layout for _, layout in plans],
        }

    def _planned(self, width: int, height: int, where: Place) -> tuple[Row, list[Row]]:
        """Plan and layout as rows, which nobody changes: pictures of one size in one place share them."""
        known = self._known.get(found := (width, height, where))
        if known is None:
            if len(self._known) == KNOWN_PLANS:
                self._known.clear()
            known = self._known[found] = _plan_rows(plan_image(self.profile, self.max_regions, width, height, where))
        return known


def _plan_rows(plan: SlicePlan) -> tuple[Row, list[Row]]:
    views, layout = ([_row(part) for part in parts] for parts in (plan.views, plan.layout))
    canvas = None if plan.canvas is None else _row(plan.canvas)
    return _row(plan) | {"views": views, "layout": layout, "canvas": canvas}, layout


def _row(record: SlicePlan | View | Run | Canvas | Query) -> Row:
    """The fields of a record. asdict, which copies each value deeply, was half of `slice` where it plans regions."""
    return {name: getattr(record, name) for name in record.__slots__}


def discrete_plan(picture: Row) -> SlicePlan:
    """The plan of a picture that is written as ids: no view, its native grid that of its codes."""
    codes = picture["codes"]
    return SlicePlan(SCHEME, picture["width"], picture["height"], codes["rows"], codes["cols"], (), (), "")


def _placed(found: Sequence[Query], before: Sequence[Row], behind: Sequence[Row]) -> list[Row]:
    """Queries as the document asks them, with the numbers that their segments have once placed."""
    number = {id(segment): i for i, segment in enumerate(behind)}
    return [_row(query) | {"segments": [number[id(before[i])] for i in query.segments]} for query in found]


def plan_image(profile: Profile, max_regions: int | None, width: int, height: int, where: Place) -> SlicePlan:
    """The plan of one picture (pixels); of regions if `max_regions` is given and the family can shrink them."""
    slicing, tokens = profile.slicing, profile.tokens.by_role()
    if max_regions is None or not isinstance(slicing, QwenConfig):
        return slicing.plan(width, height, tokens, where)
    return plan_regions(width, height, slicing, tokens, max_regions=max_regions)

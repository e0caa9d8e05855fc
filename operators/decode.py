"""Checks every image, keeps its upright size, and makes the small picture that scoring reads.

The encoded bytes stop here. Where `write` decodes the picture anyway and no score is asked for, only the header is
read, so that nothing is decoded twice; damage in the pixels then turns up in `write`, which rejects the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from PIL import Image

from operators.pictures import load_upright, open_picture, to_rgb, upright_size
from pipeline.errors import InputError
from pipeline.operator import Row, map_rows
from pipeline.schema import DECODED
from pipeline.types import SegmentKind

SMALL_SIDE = 768
"""Longest side of the small picture, in pixels: 16-pixel text on a 1,280-pixel screenshot still shows its strokes."""


@dataclass(frozen=True, slots=True)
class Decode:
    """Turns `payloads` into `pictures` (width, height, format) and, if `make_small`, `smalls` (luminance, uint8)."""

    max_image_pixels: int
    make_small: bool
    check_pixels: bool
    """Decode even without need of the small picture, because nobody after us will."""
    name = "decode"
    version = 1

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, DECODED, self.name, self._decode)

    def _decode(self, row: Row) -> Row:
        pictures: list[Row] = []
        smalls: list[Row] = []
        payloads = iter(row["payloads"])
        for i, segment in enumerate(row["segments"]):
            if segment["kind"] != SegmentKind.IMAGE:
                continue
            try:
                picture, small = self._measure(next(payloads))
            except InputError as error:
                error.member, error.segment = segment["member"], i
                error.offset, error.size = segment["offset"], segment["size"]
                raise
            pictures.append(picture)
            smalls += [small] if small else []
        return {"pictures": pictures, "smalls": smalls}

    def _measure(self, data: bytes) -> tuple[Row, Row | None]:
        image = open_picture(data, self.max_image_pixels)
        width, height = upright_size(image, data)
        name = "jpeg" if image.format == "MPO" else str(image.format).lower()  # a JPEG with another one behind it
        picture = {"width": width, "height": height, "format": name}
        if not self.make_small:
            if self.check_pixels:
                image.draft(None, (1, 1))  # a JPEG decodes at 1/8 and still reads all of its data
                load_upright(image)
            return picture, None
        return picture, shrink(image, (width, height))


def shrink(image: Image.Image, size: tuple[int, int]) -> Row:
    """The small picture of an opened one: luminance, at most SMALL_SIDE a side, never enlarged.

    size: (width, height) of the picture once upright. A JPEG is decoded straight to luminance at 1/2, 1/4 or 1/8,
    never below the size wanted.
    """
    width, height = size
    longest = max(size)
    target = size
    if longest > SMALL_SIDE:
        target = (max(1, width * SMALL_SIDE // longest), max(1, height * SMALL_SIDE // longest))
    image.draft("L", target if image.size == size else target[::-1])
    upright = load_upright(image)
    grey = upright if upright.mode == "L" and "transparency" not in upright.info else to_rgb(upright).convert("L")
    small = grey.resize(target, Image.Resampling.BOX)
    return {"data": small.tobytes(), "width": small.width, "height": small.height}

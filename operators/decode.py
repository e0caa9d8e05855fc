"""Checks every image, keeps its upright size, and makes the small pictures that scoring reads.

The encoded bytes stop here. Where `write` decodes the picture anyway and no score is asked for, only the header is
read, so that nothing is decoded twice; damage in the pixels then turns up in `write`, which rejects the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa
from PIL import Image

from operators.pictures import load_upright, open_picture, to_rgb, upright_size
from pipeline.errors import InputError
from pipeline.operator import Row, map_rows
from pipeline.schema import DECODED
from pipeline.types import SegmentKind

COARSE_PIXELS = 1 << 19
"""Luminance that maps of regions are made from: 16-pixel text on a 1,280-pixel screenshot still shows its strokes."""
FINE_PIXELS = 1 << 21
"""Luminance that tells what remains legible: a full HD screen is kept pixel for pixel."""
COLOUR_SIDE = 512
"""Longest side of the RGB copy, in pixels: a third of a full HD screen's width has 170 of them."""


@dataclass(frozen=True, slots=True)
class Decode:
    """Turns `payloads` into `pictures` (width, height, format) and, if scores are wanted, `smalls`."""

    max_image_pixels: int
    grey_pixels: int | None
    """Most pixels of luminance that scoring reads; None where nothing is scored."""
    check_pixels: bool
    """Decode even without need of the small picture, because nobody after us will."""
    name = "decode"
    version = 2

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
        if self.grey_pixels is None:
            if self.check_pixels:
                image.draft(None, (1, 1))  # a JPEG decodes at 1/8 and still reads all of its data
                load_upright(image)
            return picture, None
        return picture, shrink(image, (width, height), self.grey_pixels)


def shrink(image: Image.Image, size: tuple[int, int], grey_pixels: int) -> Row:
    """SMALL of an opened picture: luminance of at most `grey_pixels`, RGB of at most COLOUR_SIDE a side.

    size: (width, height) of the picture once upright, which neither copy exceeds. A JPEG is decoded straight to 1/2,
    1/4 or 1/8, never below the size wanted.
    """
    grey_size = _scaled(size, math.sqrt(grey_pixels / (size[0] * size[1])))
    image.draft("RGB", grey_size if image.size == size else grey_size[::-1])
    upright = to_rgb(load_upright(image))
    grey = upright.convert("L").resize(grey_size, Image.Resampling.BOX)
    colour = upright.resize(_scaled(grey_size, COLOUR_SIDE / max(grey_size)), Image.Resampling.BOX)
    return {
        "grey": grey.tobytes(),
        "width": grey.width,
        "height": grey.height,
        "colour": colour.tobytes(),
        "colour_width": colour.width,
        "colour_height": colour.height,
    }


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = (max(1, int(side * min(1.0, scale))) for side in size)
    return width, height

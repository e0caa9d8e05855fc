"""Checks every image, keeps its upright size, and makes the small pictures that scoring reads.

The encoded bytes stop here. Where `write` decodes the picture anyway and no score is asked for, only the header is
read, so that nothing is decoded twice; damage in the pixels then turns up in `write`, which rejects the sample.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from operators.discrete.config import DiscreteConfig
from operators.discrete.layouts import LAYOUTS, LayoutName
from operators.pictures import PNG_SIGNATURE, load_upright, open_picture, to_rgb, upright_size
from operators.structure import CheckName, check_structure
from pipeline.errors import InputError, StorageError
from pipeline.guard import Result, run_here
from pipeline.operator import Row, map_rows
from pipeline.schema import DECODED, DECODED_PICTURE, PICTURE, SMALL
from pipeline.types import SegmentKind

PLAIN = (b"\xff\xd8\xff", PNG_SIGNATURE)
"""First bytes of pictures whose header Pillow reads in Python."""
COARSE_PIXELS = 1 << 19
"""Luminance that maps of regions are made from: 16-pixel text on a 1,280-pixel screenshot still shows its strokes."""
FINE_PIXELS = 1 << 21
"""Luminance that tells what remains legible: a full HD screen is kept pixel for pixel."""
COLOUR_SIDE = 512
"""Longest side of the RGB copy, in pixels: a third of a full HD screen's width has 170 of them."""


class Measure:
    """The task of one picture: its upright size, format and digest and, if they are wanted, its small copies."""

    schema = pa.schema([("picture", DECODED_PICTURE), ("small", SMALL)])

    def __init__(
        self,
        *,
        max_image_pixels: int,
        grey_pixels: int | None,
        check: CheckName | None,
        layout: LayoutName | None = None,
    ) -> None:
        """grey_pixels: most pixels of luminance that scoring reads; None where nothing is scored.

        check: how a picture is judged without need of the small copy, because nobody after us will decode it; None:
        by its header. layout: at whose size a picture is copied that is to be written as ids.
        """
        self._max_image_pixels = max_image_pixels
        self._grey_pixels = grey_pixels
        self._check = check
        self._layout = layout
        self.is_blind = grey_pixels is None and layout is None and check != "decode"
        """Whether it decodes no pixel."""

    def __call__(self, row: Row) -> Row:
        data = row["data"]
        image = open_picture(data, self._max_image_pixels)
        width, height = upright_size(image, data)
        name = "jpeg" if image.format == "MPO" else str(image.format).lower()  # a JPEG with another one behind it
        digest = hashlib.blake2b(data, digest_size=PICTURE.field("digest").type.byte_width).digest()
        picture: Row = {"width": width, "height": height, "format": name, "digest": digest}
        if self._layout is not None and row["is_discrete"]:
            picture["copy"] = _copy(image, self._layout)
            image = open_picture(data, self._max_image_pixels)  # the small copies are those of any other picture
        if self._grey_pixels is not None:
            return {"picture": picture, "small": shrink(image, (width, height), self._grey_pixels)}
        if self._check == "structure" and "copy" not in picture:
            check_structure(image, data)
        if self._check == "decode" and "copy" not in picture:
            image.draft(None, (1, 1))  # a JPEG decodes at 1/8 and still reads all of its data
            load_upright(image)
        return {"picture": picture, "small": None}


class Headers:
    """Measures JPEGs and PNGs here, where nothing but Python looks at them, and leaves other pictures to a Guard.

    For a Measure that decodes nothing: a child costs more than reading a header does.
    """

    def __init__(self, measure: Measure, make_guard: Callable[[], Callable[[pa.Table], list[Result]]]) -> None:
        """make_guard: of the same measure; called once a picture of another format comes."""
        self._measure, self._make_guard = measure, make_guard
        self._guard: Callable[[pa.Table], list[Result]] | None = None

    def __call__(self, table: pa.Table) -> list[Result]:
        """As a Guard."""
        is_plain = pa.array([found.startswith(PLAIN) for found in table["data"].to_pylist()], pa.bool_())
        plain = iter(run_here(self._measure, table.filter(is_plain)))
        others = table.filter(pc.invert(is_plain))
        if others.num_rows and self._guard is None:
            self._guard = self._make_guard()
        guarded = iter(self._guard(others) if self._guard is not None and others.num_rows else ())
        return [next(plain if found else guarded) for found in is_plain.to_pylist()]


class Decode:
    """Turns `payloads` into `pictures` (width, height, format, digest) and, if scores are wanted, `smalls`."""

    name = "decode"
    version = 4

    def __init__(self, measure: Callable[[pa.Table], list[Result]], discrete: DiscreteConfig | None = None) -> None:
        """measure: maps a table with a picture in each row's `data` by Measure: in a Guard, or here.

        discrete: which pictures are copied for `discretise`.
        """
        self._measure = measure
        self._discrete = discrete

    def __call__(self, table: pa.Table) -> pa.Table:
        pictures = pa.table({"data": pc.list_flatten(table["payloads"])})
        if self._discrete is not None:
            chosen = pa.array([one for row in _rows(table) for one in _chosen(row, self._discrete)], pa.bool_())
            pictures = pictures.append_column("is_discrete", chosen)
        measured = iter(self._measure(pictures)) if pictures.num_rows else iter(())
        # The encoded bytes stop here: none of them becomes a Python object.
        counts = pc.fill_null(pc.list_value_length(table["payloads"]), 0)
        rows = table.drop_columns("payloads").append_column("num_payloads", counts)
        return map_rows(rows, DECODED, self.name, lambda row: _measured(row, measured))


def _rows(table: pa.Table) -> list[Row]:
    """What says which pictures a row has."""
    counts = pc.list_value_length(table["payloads"]).to_pylist()
    rows: list[Row] = table.select(["shard", "ordinal", "segments"]).to_pylist()
    return [row | {"num_payloads": count or 0} for row, count in zip(rows, counts, strict=True)]


def _chosen(row: Row, discrete: DiscreteConfig) -> list[bool]:
    """For each picture of a row that has its bytes whether it becomes ids."""
    images = [segment["number"] for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE]
    shard, ordinal = row["shard"], row["ordinal"]
    found = [discrete.chooses(shard, ordinal, number, image) for image, number in enumerate(images)]
    return (found + [False] * row["num_payloads"])[: row["num_payloads"]]


def _measured(row: Row, measured: Iterator[Result]) -> Row:
    """The columns of one row. InputError of its first bad picture, with its place."""
    images = [i for i, segment in enumerate(row["segments"]) if segment["kind"] == SegmentKind.IMAGE]
    found = list(zip(images, islice(measured, row["num_payloads"]), strict=True))
    for i, result in found:
        if isinstance(result, InputError):
            segment = row["segments"][i]
            result.member, result.segment = segment["member"], i
            result.offset, result.size = segment["offset"], segment["size"]
            raise result
        if isinstance(result, StorageError):
            raise result
    rows = [result for _, result in found if isinstance(result, dict)]
    return {"pictures": [one["picture"] for one in rows], "smalls": [one["small"] for one in rows if one["small"]]}


def _copy(image: Image.Image, layout: LayoutName) -> Row:
    """The copy of an opened picture that is coded: all of it is decoded."""
    made = LAYOUTS[layout].prepare(to_rgb(load_upright(image)))
    return {"rgb": made.tobytes(), "width": made.width, "height": made.height}


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

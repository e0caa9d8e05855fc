"""Fetches the pictures of documents again and renders their views: the only decoding at full quality.

A split document is judged alike by whoever writes a part of it: the pictures of its other parts are decoded too, once,
for their damage alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from operators.encode import encode_view
from operators.layout import Part, image_numbers
from operators.pack_rows import Rendered, WriteConfig
from operators.pictures import load_upright, open_picture, to_rgb, upright_size
from operators.plans import plan_from_row
from operators.slicing.qwen import QwenConfig
from operators.slicing.render import render, to_patches, to_planes
from pipeline import storage
from pipeline.errors import InputError, Reason, StorageError
from pipeline.operator import Row
from pipeline.types import Rejection

FETCH_BYTES = 64 << 20
"""Encoded pictures held at once: those of one row group are a few megabytes, those of a split document may be many."""
Place = tuple[int, int]
"""A document by its number, and one of its segments."""


class Pictures:
    """The pictures of one file's documents. `rejected` grows as damage is found."""

    def __init__(self, config: WriteConfig, documents: Sequence[Row], shards: Mapping[str, str]) -> None:
        """shards: URL of each shard by name."""
        self.rejected: dict[int, Rejection] = {}
        self._config = config
        self._documents = documents
        self._shards = shards
        self._sound: set[Place] = set()

    def render(self, members: Sequence[tuple[int, Part]]) -> Rendered:
        """The `pixels` of each view of the parts' images, by shard and offset; ranges are fetched shard by shard."""
        rendered: dict[tuple[str, int], Sequence[Row | None]] = {}
        if self._config.pixels in {"none", "source"}:
            return rendered
        shown = {(number, i) for number, part in members for i in range(part.first, part.last)}
        wanted: dict[str, list[Place]] = {}
        for number in sorted({number for number, _ in members} - self.rejected.keys()):
            document = self._documents[number]
            for i, image in enumerate(image_numbers(document)):
                if image is not None and ((number, i) in shown or (number, i) not in self._sound):
                    wanted.setdefault(document["shard"], []).append((number, i))
        for shard, places in sorted(wanted.items()):
            for some in self._bounded(places):
                segments = [self._segment(place) for place in some]
                ranges = [(segment["offset"], segment["size"]) for segment in segments]
                found = storage.read_ranges(self._shards[shard], ranges)
                for place, segment, data in zip(some, segments, found, strict=True):
                    rendered[shard, segment["offset"]] = self._judge(place, segment, data, is_shown=place in shown)
        return rendered

    def _segment(self, place: Place) -> Row:
        number, i = place
        segment: Row = self._documents[number]["segments"][i]
        return segment

    def _bounded(self, places: Sequence[Place]) -> Iterator[list[Place]]:
        """The places in runs of at most FETCH_BYTES, or of one."""
        some: list[Place] = []
        held = 0
        for place in places:
            size = self._segment(place)["size"]
            if some and held + size > FETCH_BYTES:
                yield some
                some, held = [], 0
            some.append(place)
            held += size
        yield some

    def _judge(self, place: Place, segment: Row, data: bytes, *, is_shown: bool) -> list[Row]:
        """The views of one picture, none if it is not shown here; damage rejects its document."""
        number, i = place
        plan = self._documents[number]["plans"][image_numbers(self._documents[number])[i] or 0]
        try:
            picture = self._decode(data, plan, self._shards[self._documents[number]["shard"]])
            views = render(picture, plan_from_row(plan)) if is_shown else []
        except InputError as error:
            error.member, error.segment = segment["member"], i
            error.offset, error.size = segment["offset"], segment["size"]
            self.rejected.setdefault(number, Rejection.from_error("write", error))
            return []
        self._sound.add(place)
        return [self._pixels(view) for view in views]

    def _decode(self, data: bytes, plan: Row, url: str) -> Image.Image:
        """Upright RGB of the planned size. StorageError if these are not the bytes that were planned."""
        size = (plan["width"], plan["height"])
        opened = open_picture(data, self._config.max_image_pixels)
        if upright_size(opened, data) != size:
            raise StorageError(f"{url} changed while it was read; run the job again")
        picture = to_rgb(load_upright(opened))
        if picture.size != size:
            raise InputError(
                Reason.DECODE_ERROR, f"{picture.width}x{picture.height} pixels; its header says {size[0]}x{size[1]}"
            )
        return picture

    def _pixels(self, view: Image.Image) -> Row:
        if self._config.pixels == "encoded":
            data, kind = encode_view(view)
            return {"data": data, "format": kind}
        slicing = self._config.profile.slicing
        if isinstance(slicing, QwenConfig):
            return {"data": to_patches(view, slicing.patch, slicing.merge), "format": "patches"}
        return {"data": to_planes(view), "format": "planes"}

"""Fetches the pictures of documents again and renders their views: the only decoding at full quality.

Views that older packs hold are copied from there, and the pictures of documents in those packs are known to be sound.
A split document is judged alike by whoever writes a part of it: the pictures of its other parts are decoded too, once,
for their damage alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from PIL import Image

from operators.copying import Copies, OlderViews, Shown, shown_by
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
from pipeline.types import Rejection, SlicePlan

FETCH_BYTES = 64 << 20
"""Encoded pictures held at once: those of one row group are a few megabytes, those of a split document may be many."""
UNRENDERED = ("none", "source")
"""Kinds of pixels that need no picture."""
Place = tuple[int, int]
"""A document by its number, and one of its segments."""


class Pictures:
    """The pictures of one file's documents. `rejected` grows as damage is found."""

    def __init__(
        self, config: WriteConfig, documents: Sequence[Row], shards: Mapping[str, str], older: OlderViews | None = None
    ) -> None:
        """shards: URL of each shard by name; older: the packs of the build that this one re-plans."""
        self.rejected: dict[int, Rejection] = {}
        self.views: Counter[str] = Counter()
        """Views of the packs by how they came: `copied` and `rendered`."""
        self._config = config
        self._documents = documents
        self._shards = shards
        self._sound: set[Place] = set()
        self._copies: Copies | None = None
        if older is not None and config.pixels not in UNRENDERED:
            places = [place for number in range(len(documents)) for place in self._pictures(number)]
            wanted = {shown for place in places for shown in self._shown(place)}
            self._copies = older.copies(wanted, storage.temporary_path(config.output).parent)
            held = {n for n, one in enumerate(documents) if older.holds(one["shard"], one["ordinal"])}
            self._sound = {place for place in places if place[0] in held}

    def render(self, members: Sequence[tuple[int, Part]]) -> Rendered:
        """The `pixels` of each view of the parts' images, by shard and offset; ranges are fetched shard by shard."""
        rendered: dict[tuple[str, int], Sequence[Row | None]] = {}
        if self._config.pixels in UNRENDERED:
            return rendered
        shown = Counter((number, i) for number, part in members for i in range(part.first, part.last))
        known: dict[Place, list[Row | None]] = {}
        wanted: dict[str, list[Place]] = {}
        for number in sorted({number for number, _ in members} - self.rejected.keys()):
            for place in self._pictures(number):
                if place in shown:
                    known[place] = [self._copies.get(view) if self._copies else None for view in self._shown(place)]
                    num_copied = sum(view is not None for view in known[place])
                    self.views["copied"] += shown[place] * num_copied
                    self.views["rendered"] += shown[place] * (len(known[place]) - num_copied)
                    rendered[self._source(place)] = known[place]
                if place not in self._sound or None in known.get(place, []):
                    wanted.setdefault(self._documents[number]["shard"], []).append(place)
        for shard, places in sorted(wanted.items()):
            for some in self._bounded(places):
                segments = [self._segment(place) for place in some]
                ranges = [(segment["offset"], segment["size"]) for segment in segments]
                found = storage.read_ranges(self._shards[shard], ranges)
                for place, segment, data in zip(some, segments, found, strict=True):
                    rendered[shard, segment["offset"]] = self._judge(place, segment, data, known.get(place, []))
        return rendered

    def _pictures(self, number: int) -> Iterator[Place]:
        """The pictures of a document."""
        images = image_numbers(self._documents[number])
        return ((number, i) for i, image in enumerate(images) if image is not None)

    def _shown(self, place: Place) -> list[Shown]:
        """What each view of a picture shows."""
        document = self._documents[place[0]]
        image = image_numbers(document)[place[1]] or 0
        return shown_by(document["shard"], document["ordinal"], image, document["plans"][image]["views"])

    def _source(self, place: Place) -> tuple[str, int]:
        return self._documents[place[0]]["shard"], self._segment(place)["offset"]

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

    def _judge(self, place: Place, segment: Row, data: bytes, known: list[Row | None]) -> list[Row | None]:
        """The views of one picture, of which some may be `known`; none if it is not shown. Damage rejects its document.

        known: as many as the picture has views, or empty where it is not shown here.
        """
        number, i = place
        plan = self._documents[number]["plans"][image_numbers(self._documents[number])[i] or 0]
        missing = [k for k, view in enumerate(known) if view is None]
        try:
            picture = self._decode(data, plan, self._shards[self._documents[number]["shard"]])
            views = iter(render(picture, _views_of(plan, missing)))
        except InputError as error:
            error.member, error.segment = segment["member"], i
            error.offset, error.size = segment["offset"], segment["size"]
            self.rejected.setdefault(number, Rejection.from_error("write", error))
            return []
        self._sound.add(place)
        return [self._pixels(next(views)) if view is None else view for view in known]

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


def _views_of(plan: Row, chosen: Sequence[int]) -> SlicePlan:
    """The plan with some of its views alone."""
    whole = plan_from_row(plan)
    return replace(whole, views=tuple(whole.views[k] for k in chosen))

"""Fetches the pictures of documents again and has their views drawn: the only decoding at full quality.

Views that older packs hold are copied from there, and the pictures of documents in those packs are known to be sound.
A split document is judged alike by whoever writes a part of it: the pictures of its other parts are decoded too, once,
for their damage alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from operators.copying import Copies, OlderViews, Shown, shown_by
from operators.drawing import TO_DRAW
from operators.layout import Part, image_numbers
from operators.pack_rows import PictureSource, Rendered, WriteConfig, source_of
from pipeline import storage
from pipeline.columns import table_from_rows
from pipeline.containers.fetching import PicturePlace, fetch
from pipeline.errors import InputError, StorageError
from pipeline.guard import Result
from pipeline.operator import Row
from pipeline.types import Rejection

FETCH_BYTES = 64 << 20
"""Encoded pictures held at once: those of one row group are a few megabytes, those of a split document may be many."""
UNRENDERED = ("none", "source")
"""Kinds of pixels that need no picture."""
Place = tuple[int, int]
"""A document by its number, and one of its segments."""


class Pictures:
    """The pictures of one file's documents. `rejected` grows as damage is found."""

    def __init__(
        self,
        config: WriteConfig,
        draw: Callable[[pa.Table], list[Result]],
        documents: Sequence[Row],
        shards: Mapping[str, str],
        older: OlderViews | None = None,
    ) -> None:
        """draw: maps a table in TO_DRAW by Draw: in a Guard, or here. shards: URL of each shard by name.

        older: the packs of the build that this one re-plans.
        """
        self.rejected: dict[int, Rejection] = {}
        self.views: Counter[str] = Counter()
        """Views of the packs by how they came: `copied` and `rendered`."""
        self._config = config
        self._draw = draw
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
        """The `pixels` of each view of the parts' images, by sample; they are fetched shard by shard."""
        rendered: dict[PictureSource, Sequence[Row | None]] = {}
        if self._config.pixels in UNRENDERED:
            return rendered
        shown = Counter((number, i) for number, part in members for i in range(part.first, part.last))
        known: dict[Place, list[Row | None]] = {}
        wanted: dict[str, list[Place]] = {}
        # In the order of the packs: pixels that are drawn so lie in memory as their column has them.
        for number in dict.fromkeys(number for number, _ in members if number not in self.rejected):
            for place in self._pictures(number):
                if place in shown:
                    known[place] = [self._copies.get(view) if self._copies else None for view in self._shown(place)]
                    num_copied = sum(view is not None for view in known[place])
                    self.views["copied"] += shown[place] * num_copied
                    self.views["rendered"] += shown[place] * (len(known[place]) - num_copied)
                    rendered[self._source(place)] = known[place]
                if place not in self._sound or None in known.get(place, []):
                    wanted.setdefault(self._documents[number]["shard"], []).append(place)
        for _, places in sorted(wanted.items()):
            for some in self._bounded(places):
                for place, drawn in zip(some, self._draw(self._to_draw(some, known)), strict=True):
                    rendered[self._source(place)] = self._judge(place, drawn, known.get(place, []))
        return rendered

    def _pictures(self, number: int) -> Iterator[Place]:
        """The pictures of a document that have views."""
        document = self._documents[number]
        images = enumerate(image_numbers(document))
        return ((number, i) for i, image in images if image is not None and document["plans"][image]["views"])

    def _shown(self, place: Place) -> list[Shown]:
        """What each view of a picture shows."""
        document = self._documents[place[0]]
        image = image_numbers(document)[place[1]] or 0
        return shown_by(document["shard"], document["ordinal"], image, self._plan(place)["views"])

    def _plan(self, place: Place) -> Row:
        document = self._documents[place[0]]
        plan: Row = document["plans"][image_numbers(document)[place[1]] or 0]
        return plan

    def _source(self, place: Place) -> PictureSource:
        return source_of(self._documents[place[0]], place[1])

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

    def _judge(self, place: Place, drawn: Result, known: list[Row | None]) -> list[Row | None]:
        """The views of one picture, `drawn` in the places that `known` leaves open. Damage rejects its document.

        known: as many as the picture has views, or empty where it is not shown here.
        """
        if isinstance(drawn, StorageError):
            raise drawn
        if isinstance(drawn, InputError):
            number, i = place
            segment = self._segment(place)
            drawn.member, drawn.segment = segment["member"], i
            drawn.offset, drawn.size = segment["offset"], segment["size"]
            self.rejected.setdefault(number, Rejection.from_error("write", drawn))
            return []
        self._sound.add(place)
        views = iter(drawn["drawn"])
        return [next(views) if view is None else view for view in known]

    def _to_draw(self, places: Sequence[Place], known: Mapping[Place, list[Row | None]]) -> pa.Table:
        """The encoded pictures of one shard, fetched, with the views of each that are missing."""
        shard = self._shards[self._documents[places[0][0]]["shard"]]
        segments = [self._segment(place) for place in places]
        fetched = fetch(
            shard, [PicturePlace(*(segment[name] for name in PicturePlace._fields)) for segment in segments]
        )
        rows: list[dict[str, object]] = [
            {
                "url": shard,
                "data": data,
                "plan": self._plan(place),
                "views": [k for k, view in enumerate(known.get(place, [])) if view is None],
            }
            for place, data in zip(places, fetched, strict=True)
        ]
        return table_from_rows(rows, TO_DRAW)

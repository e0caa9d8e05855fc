"""The nouns that flow: samples, plans, units. Frozen; units of measure are in the names.

Boxes are (left, top, right, bottom) in pixels of the upright picture (after EXIF rotation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from pipeline.errors import InputError

DETAIL_CHARS = 200
"""Longest detail that a rejection keeps."""
MAX_NAME_BYTES = 4096
"""Longest name of a member, in UTF-8, as paths of file systems have it; a tar could have one of a megabyte."""
BASE64, CELL = "base64", "cell"
"""Values of `Segment.encoding`."""


class SegmentKind(IntEnum):
    """What one segment of a document is."""

    TEXT = 0
    IMAGE = 1


class Modality(IntEnum):
    """What one token of a packed row is."""

    TEXT = 0
    IMAGE = 1
    VIDEO = 2
    MARKER = 3
    DISCRETE = 4
    PADDING = 5


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why, by which operator and at which bytes of its shard a sample was rejected."""

    operator: str
    reason: str
    detail: str
    member: str = ""
    offset: int = 0
    size: int = 0
    segment: int | None = None
    """Index of the guilty segment in its document, if one is."""
    rules: tuple[str, ...] = ()
    """Reasons of all rules of the filters that it breaks."""

    def to_row(self) -> dict[str, Any]:
        """As asdict, without its deep copies: a shard of junk has many of these."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_error(cls, operator: str, error: InputError) -> Rejection:
        """The rejection that an InputError raised inside `operator` becomes."""
        detail = error.detail.encode("utf-8", "backslashreplace").decode("utf-8")[:DETAIL_CHARS]
        member = error.member.encode("utf-8", "backslashreplace").decode("utf-8")[:MAX_NAME_BYTES]
        return cls(operator, str(error.reason), detail, member, error.offset, error.size, error.segment)


@dataclass(frozen=True, slots=True)
class Segment:
    """One text or one image of a document, with the bytes of its shard that it came from."""

    kind: SegmentKind
    member: str
    offset: int
    """First byte of the member's data in its shard."""
    size: int
    text: str | None = None
    data: bytes | None = field(default=None, repr=False)
    """Encoded image."""
    role: str | None = None
    """Who speaks in a conversation (system, user, assistant); None in a document."""
    turn: int = 0
    """Number of the turn that a conversation's segment belongs to. Where role is None, of the step: 0 is what stands
    before the first (title and summary), and in a document without steps all."""
    encoding: str | None = None
    """How the bytes at that place hold the picture: None: as they are; base64; cell: of a Parquet shard."""
    similarity: float | None = None
    """How well the picture fits its text, as a cosine, where its data set says so (MMC4's matched_sim)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One document, or the place where one should have been: `segments` in reading order, at most one rejection."""

    key: str
    segments: tuple[Segment, ...] = ()
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file. `name` is its path below the pattern's fixed folder, so a copy elsewhere has the same name."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What is read of a shard, at most; a sample that has more is rejected before its bytes fill the memory."""

    member_bytes: int
    """Of one member that the format asks for."""
    text_bytes: int
    """Of one text or JSON."""
    sample_bytes: int
    """Of all members of a sample that the format asks for and that are within the two above."""
    sample_members: int
    """Members of a sample, and the texts and images that its JSON makes."""


ONLY_SOURCE = "input"
"""What a version calls the source of a job that mixes none."""


@dataclass(frozen=True, slots=True)
class Source:
    """One input of a job: how its shards are read, and how often the data set holds each of its samples."""

    format: str
    weight: float = 1.0
    max_samples: int | None = None
    name: str | None = None
    """None where the input is no mixture."""

    def with_format(self, name: str) -> Source:
        return replace(self, format=name)

    @property
    def label(self) -> str:
        """The name that a version lists it by."""
        return self.name or ONLY_SOURCE

    @property
    def recipe(self) -> dict[str, str | float]:
        """What changes the bytes of this source's units and of no other's. max_samples acts through `Unit.take`."""
        named: dict[str, str | float] = {"name": self.name} if self.name else {}
        return named | {"format": self.format, "weight": self.weight}


@dataclass(frozen=True, slots=True)
class Older:
    """What an older build of a unit's shards left, from which it can be re-planned. Files by URL."""

    index: str
    rejects: str
    packs: tuple[str, ...]
    """Data files, with those of the closing unit that its carried documents went to: views are copied from there."""
    ends: tuple[Mapping[str, Any], ...]
    """What each shard's last row said: rows, sha256, bytes, ignored."""
    recipe: Mapping[str, Any]
    """That it was built with."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Shards of one source that are packed, written and committed together.

    `number` is its place in this run's plan only.
    """

    number: int
    shards: tuple[Shard, ...]
    source: Source
    take: tuple[int, ...] | None = None
    """Samples to take of each shard when the run is limited; None takes all."""
    older: Older | None = None
    """Where it is re-planned from; None: it is read, decoded and scored."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of its document's images one is: several families plan documents of many images otherwise."""

    number: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """One rectangle of one image, rendered at one size.

    cells: (top, left, bottom, right) of the rectangle in the image's native grid of merged tokens, from which
    2-D and 3-D positions come. grid_t, grid_h and grid_w count vision patches; tokens counts the placeholders
    that this view's features replace.
    """

    kind: str
    """whole (all of the picture, or of what a centre crop leaves), tile (cut from the canvas), region or frame"""
    row: int
    col: int
    box: tuple[int, int, int, int]
    height: int
    width: int
    grid_t: int
    grid_h: int
    grid_w: int
    rows: int
    """Rows of merged tokens that survive (unpadding removes some); tokens = rows x cols, in raster order."""
    cols: int
    tokens: int
    cells: tuple[int, int, int, int] = (0, 0, 0, 0)
    budget: int | None = None
    """Tokens allowed by relevance; tokens never exceeds it."""
    relevance: int | None = None
    """Combined relevance, 0..255."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """How tiles come about: the image is resized, pasted at (left, top) on one colour, and cut into equal tiles.

    Negative left and top crop the resized image.
    """

    width: int
    height: int
    resized_width: int
    resized_height: int
    left: int
    top: int
    first_width: int = 0
    """Size to which the image is resized before that, where the family resizes twice (Idefics3); 0: it does not."""
    first_height: int = 0
    fill: int = 0
    """Colour around the image as 0xRRGGBB."""
    has_whole: bool = False
    """Whole views are resized from the canvas; otherwise straight from the image."""


@dataclass(frozen=True, slots=True)
class Run:
    """`count` equal literals of an image's layout.

    token is a special token of the profile (one id each) or plain text such as a line break, which is tokenized
    together with the text next to it in the layout. view is the index of the view whose features replace the run,
    or -1 (markers, newlines).
    """

    token: str
    modality: Modality
    view: int
    count: int


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """The views of one image, the literal layout around them, and its counts. Pure arithmetic on (width, height).

    grid_h and grid_w are the image's native grid of merged tokens. `tokens` counts every id that the image adds
    when each marker is one id; `placeholders` those alone that features replace (newline embeddings among them).
    resample is Pillow's filter by name.
    """

    scheme: str
    width: int
    height: int
    grid_h: int
    grid_w: int
    views: tuple[View, ...]
    layout: tuple[Run, ...]
    placeholder: str
    canvas: Canvas | None = None
    resample: str = "bicubic"

    @property
    def placeholders(self) -> int:
        return sum(run.count for run in self.layout if run.token == self.placeholder)

    @property
    def tokens(self) -> int:
        return sum(run.count for run in self.layout)

    @property
    def patches(self) -> int:
        return sum(view.grid_t * view.grid_h * view.grid_w for view in self.views)

"""The JSON records of an output as this check reads them, and the names that must follow from their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from operators.chat import ChatTemplate

ID_DIGITS = 16


class Record(BaseModel):
    """Names the fields that are checked; a record may hold more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Slicing(Record):
    """Sizes of a vision patch and, where tokens are merged patches, how many a side."""

    scheme: str
    patch: int
    merge: int = 1


class Positions(Record):
    """The rule of the family, and its numbers."""

    rule: Literal["1d", "2d", "mrope", "v2pe"]
    stride: int = 256

    @property
    def num_rows(self) -> int:
        return {"1d": 1, "2d": 2, "mrope": 3, "v2pe": 1}[self.rule]

    @property
    def fractional(self) -> bool:
        return self.rule == "v2pe"


class Profile(Record):
    """What the model family expects."""

    slicing: Slicing
    tokens: dict[str, Any]
    """Literals of the special tokens by role; a role that the family lacks is null."""
    positions: Positions
    chat: ChatTemplate | None
    tokenizer_pattern: str | None
    reserved_ids: dict[str, int]


class Budget(Record):
    """Tokens of a region, of all regions of an image, and of all images of a sample."""

    rule: Literal["lod", "query", "global"]
    image_tokens: int | None
    image_share: float | None
    sample_tokens: int | None
    min_tokens: int
    max_tokens: int
    max_image_tokens: int

    def image_limit(self, native: int) -> int:
        """Most tokens of an image that has so many of its own."""
        if self.rule != "global":
            return self.max_image_tokens
        own = self.image_tokens or max(1, int(native * (self.image_share or 0)))
        return self.sample_tokens or min(self.max_image_tokens, own)


class PackLimits(Record):
    """What one sequence may hold beside its tokens."""

    images: int | None
    patches: int | None
    tiles: int | None
    squares: int | None


class PackSection(Record):
    """How documents share sequences."""

    limits: PackLimits
    align: int
    closing: bool


class Placement(Record):
    """Where pictures stand among texts."""

    images: Literal["interleaved", "prefix", "suffix", "window"]
    window_texts: int


class LimitsSection(Record):
    """What the build did not read."""

    max_member_bytes: int
    max_text_bytes: int
    max_sample_bytes: int
    max_sample_members: int


class JobFields(Record):
    """The job as far as it says what must hold."""

    limit: int | None
    limits: LimitsSection
    sequence_length: int
    score: dict[str, Any] | None
    budget: Budget | None
    pack: PackSection
    placement: Placement
    derive: tuple[str, ...]
    reduce: tuple[dict[str, Any], ...]
    loss_weights: Literal["token", "sample", "square"] | None
    pixels: Literal["encoded", "patches", "source", "none"]


class Discrete(Record):
    """How pictures are written as ids."""

    layout: Literal["chameleon", "emu3", "llamagen"]
    images: Literal["all", "alternate"] | float
    train: bool
    codes: int
    """Of the codebook."""
    downsample: int
    """Pixels of a code's side."""
    first_id: int
    """Of the codes; the marks follow them."""


class TokenizerEntry(Record):
    """The tokenizer by content."""

    sha256: str
    special_tokens: dict[str, int]
    """Id of each special token."""


class Recipe(Record):
    """What every unit of a version was made by, whatever its source."""

    job: JobFields
    profile: Profile
    tokenizer: TokenizerEntry
    discrete: Discrete | None = None
    instructions: dict[str, str]
    """What users say first in the conversations that are derived, by view."""

    @property
    def trains_discrete(self) -> bool:
        """Whether images that are written as ids have labels."""
        return self.discrete is not None and self.discrete.train

    @model_validator(mode="before")
    @classmethod
    def _discrete_in_one(cls, raw: Any) -> Any:
        """What the job says of discrete pictures, and what was found of its codebook, in one."""
        if not isinstance(raw, dict) or not raw.get("discrete"):
            return raw
        return raw | {"discrete": {**(raw["job"].get("discrete") or {}), **raw["discrete"]}}


class Input(Record):
    """One shard of a unit."""

    shard: str
    sha256: str
    bytes: int
    samples: int
    ignored: int
    take: int | None = None
    """Samples that a limited run takes of it."""


class File(Record):
    """One file of a unit."""

    path: str
    kind: Literal["data", "index", "rejects"]
    sha256: str
    bytes: int
    rows: int


class Manifest(Record):
    """One committed unit."""

    schema_version: int
    unit: str
    recipe_id: str
    recipe: dict[str, Any]
    inputs: tuple[Input, ...]
    closes: tuple[str, ...] | None = None
    """Of a closing unit: the units whose documents it takes. It has no inputs and no index of its own."""
    files: tuple[File, ...]
    counts: dict[str, dict[str, int]]
    reasons: dict[str, int]

    @property
    def where(self) -> str:
        return f"manifests/{self.unit}.json"

    def paths(self, kind: str) -> list[File]:
        return [file for file in self.files if file.kind == kind]


class SourceEntry(Record):
    """One source of a version."""

    format: Literal["interleaved", "conversations", "mmc4", "comm", "energon", "frames", "pairs", "text"]
    weight: float
    max_samples: int | None
    units: tuple[str, ...]
    totals: dict[str, dict[str, int]]


class Version(Record):
    """The units that make the data set."""

    schema_version: int
    recipe_id: str
    recipe: dict[str, Any]
    units: tuple[str, ...]
    sources: dict[str, SourceEntry]
    totals: dict[str, dict[str, int]]
    reasons: dict[str, int]
    withheld_shards: tuple[str, ...]


def recipe_id(recipe: dict[str, Any]) -> str:
    """The id that a recipe must have."""
    return _hash(recipe)


def unit_id(inputs: Sequence[Input], recipe: str) -> str:
    """The id that a unit of these shards, or of what a limited run takes of them, must have."""
    entries = [[entry.shard, entry.sha256, *([] if entry.take is None else [entry.take])] for entry in inputs]
    return _hash([entries, recipe])


def closing_id(closes: Sequence[str], recipe: str) -> str:
    """The id that the closing unit of these units must have."""
    return _hash([["closing", *closes], recipe])


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    return hashlib.sha256(f"{text}\n".encode()).hexdigest()[:ID_DIGITS]

"""Where a job's samples come from: one source, or a mixture of several, each with its own format, weight and cap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import fsspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from pipeline import storage
from pipeline.formats import FORMATS
from pipeline.types import ONLY_SOURCE, Source

AUTO = "auto"
"""The format of shards that are looked at to find which they have."""
ONE, MIXTURE = "<one>", "<mixture>"
"""How pydantic tells the two forms of `input`; it names them in the places of errors, where users need not see them."""


def _openable(url: str) -> str:
    """`url`, if it is a path or has a scheme that is known and installed."""
    if not url.strip():
        raise ValueError("empty; a path or URL is expected")
    if not storage.is_local(url):
        try:
            fsspec.get_filesystem_class(url.partition("://")[0])
        except (ValueError, ImportError) as error:
            raise ValueError(f"{error}; use a local path, file:// or s3://") from error
    return url


Url = Annotated[str, AfterValidator(_openable)]


class Section(BaseModel):
    """No unknown field, no change after reading."""

    # What was found may be a secret, and --debug shows pydantic's own message.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class InputSection(Section):
    """Where the samples of one source are, and how often the data set holds them."""

    shards: tuple[Url, ...]
    """Paths or URLs with {000000..000007} or * in them; one, or a list. Files in .jsonl and .ndjson are lines, in
    .parquet rows, all others tars."""
    format: str = AUTO
    """interleaved (KEY.json with texts and images, KEY.N.png), conversations (KEY.json with turns, KEY.N.png), mmc4,
    comm, energon, frames (KEY.000.jpg, KEY.txt), pairs (KEY.jpg, KEY.txt), text (KEY.txt); or auto: what the first
    samples of the first shard look like."""
    weight: float = Field(1.0, gt=0, le=100, allow_inf_nan=False)
    """How often the data set holds each sample: 0.25 every fourth, 2.5 two or three times, as packs of its own."""
    max_samples: int | None = Field(None, ge=1)
    """Take only the first so many samples, before weight says how often; or none: all."""

    @field_validator("shards", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if not value:
            raise ValueError("empty; a path or URL is expected, or a list of them")
        return (value,) if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMATS and value != AUTO:
            raise ValueError(f"{value!r} is no format; choose one of auto, {', '.join(FORMATS)}")
        return value


class MixtureSection(Section):
    """Several sources by name."""

    sources: dict[str, InputSection]
    """Each with shards, format, weight and max_samples. A name stands before its shards' names in every id."""

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, raw: Any) -> Any:
        both = sorted(raw.keys() & InputSection.model_fields) if isinstance(raw, Mapping) else []
        if both:
            raise ValueError(f"has sources and {', '.join(both)}; give each source its own, or leave sources out")
        return raw

    @field_validator("sources", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError("holds no source; at least one is expected, as name: {shards: URL}")
        wrong = [name for name in value if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name))]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: letters, digits, _ and - are expected in a source's name")
        return {str(name): section for name, section in value.items()}


def _form(raw: Any) -> str:
    is_mixture = "sources" in raw if isinstance(raw, Mapping) else isinstance(raw, MixtureSection)
    return MIXTURE if is_mixture else ONE


Input = Annotated[
    Annotated[InputSection, Tag(ONE)] | Annotated[MixtureSection, Tag(MIXTURE)],
    Discriminator(_form),
]


def sections_by_source(given: InputSection | MixtureSection) -> list[tuple[Source, InputSection]]:
    """Each source as the pipeline knows it, with its section, by name: the order of a job file decides nothing."""
    found: list[tuple[str | None, InputSection]] = (
        sorted(given.sources.items()) if isinstance(given, MixtureSection) else [(None, given)]
    )
    return [(Source(one.format, one.weight, one.max_samples, name), one) for name, one in found]


def with_formats(given: InputSection | MixtureSection, formats: Mapping[str, str]) -> InputSection | MixtureSection:
    """The same input with the formats of its sources, by label, said by name."""
    if isinstance(given, InputSection):
        return given.model_copy(update={"format": formats[ONLY_SOURCE]})
    named = {name: one.model_copy(update={"format": formats[name]}) for name, one in given.sources.items()}
    return given.model_copy(update={"sources": named})

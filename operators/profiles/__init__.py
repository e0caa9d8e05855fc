"""What a model family expects, as data: one YAML file a family, named after it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from operators.chat import ChatTemplate
from operators.positions import PositionsConfig
from operators.slicing import SchemeConfig
from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.yaml_text import parse_yaml

SUFFIX = ".yaml"
Positive = Annotated[float, Field(gt=0)]


class TokenRoles(BaseModel):
    """The family's special tokens by what they do; None where it has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    placeholder: str
    """Stands once for every visual feature."""
    image_start: str | None = None
    image_end: str | None = None
    document_start: str | None = None
    """First token of every document; its label is -100."""
    document_end: str
    """Last token of every document; trained."""
    padding: str
    whole: str | None = None
    """Names the view of the whole image, where tiles have names too."""
    tile_start: str | None = None
    tile_end: str | None = None
    tile_label: str | None = None
    """Names a tile: `{row}` and `{col}` in it count from 1."""
    col_break: str | None = None
    """Between tiles, or tokens, of a row."""
    row_break: str | None = None
    """After a row of tiles, or of tokens."""
    number_start: str | None = None
    """Before the image's number in its document."""
    number_end: str | None = None
    video: str | None = None
    """Stands once for every visual feature of a video."""
    label_side: int = Field(0, ge=0)
    """Tiles have labels of their own for that many rows and columns."""
    others: tuple[str, ...] = ()
    """Further tokens that no text may produce: marks of the chat template."""

    @model_validator(mode="after")
    def _marks_can_be_told_apart(self) -> Self:
        roles = self.model_dump(exclude={"label_side", "others"})
        named = [*roles.items(), *(("others", literal) for literal in self.others)]
        empty = [role for role, literal in named if literal == ""]
        if empty:
            raise ValueError(f"{empty[0]} is empty; a token has at least one character")
        same = [role for role, literal in roles.items() if literal == self.placeholder and role != "placeholder"]
        if same or self.placeholder in self.others:
            raise ValueError(f"{(same or ['others'])[0]} is the placeholder, {self.placeholder}; features alone are")
        if self.tile_label is not None:
            try:
                label = self.tile_label.format(row=1, col=2)
            except (LookupError, ValueError) as error:
                raise ValueError(f"tile_label {self.tile_label!r} has more than {{row}} and {{col}} in it") from error
            if label == self.tile_label:
                raise ValueError(f"tile_label {self.tile_label!r} has neither {{row}} nor {{col}} in it")
        return self

    def by_role(self) -> dict[str, str]:
        """Literals that an image or a document is laid out with."""
        fields = self.model_dump(exclude={"label_side", "others"})
        return {role: literal for role, literal in fields.items() if literal is not None}

    def literals(self) -> tuple[str, ...]:
        """Each special token once, in the order in which ids are given to those that the tokenizer lacks."""
        roles = self.by_role()
        label = roles.pop("tile_label", "")
        side = range(1, self.label_side + 1)
        labels = [label.format(row=row, col=col) for row in side for col in side]
        return tuple(dict.fromkeys([*roles.values(), *labels, *self.others]))


class Profile(BaseModel):
    """One model family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    """The checkpoints it was read from."""
    slicing: SchemeConfig
    tokens: TokenRoles
    positions: PositionsConfig
    chat: ChatTemplate | None = None
    """How a conversation is written; None: the family has no template here, and takes documents only."""
    mean: tuple[float, float, float]
    """Subtracted from the channels of a pixel (0..1) when a model reads it."""
    std: tuple[Positive, Positive, Positive]
    """What they are then divided by."""
    sequence_length: int = Field(8192, ge=16)
    """Tokens in a packed sequence where the job says nothing: as the family's models were tuned, or 8,192."""
    tokenizer_pattern: str | None = None
    """Regular expression that cuts text before byte-pair merges, for tokenizer files that are ranks alone."""
    reserved_ids: dict[str, int] = {}
    """Ids that the family gives its special tokens behind such ranks."""

    @field_validator("reserved_ids")
    @classmethod
    def _of_one_token_each(cls, value: dict[str, int]) -> dict[str, int]:
        if len(set(value.values())) < len(value):
            raise ValueError("two tokens have one id; each has its own")
        return value


def profile_names() -> list[str]:
    """The families that this version knows."""
    return sorted(
        file.name.removesuffix(SUFFIX) for file in resources.files(__name__).iterdir() if file.name.endswith(SUFFIX)
    )


def load_profile(name: str) -> Profile:
    """The profile called `name`, or that of a YAML file of one's own. ConfigError says what is wrong with either."""
    if name.endswith(SUFFIX):
        try:
            return _parse(PurePath(name).name.removesuffix(SUFFIX), name, storage.read_bytes(name))
        except StorageError as error:
            raise ConfigError(f"no profile at {name}: {error}; give the path of a YAML file") from error
    if name not in profile_names():
        raise ConfigError(
            f"profile {name!r} is unknown; choose one of {', '.join(profile_names())}, or the path of a {SUFFIX} file"
        )
    return _bundled(name)


@cache
def _bundled(name: str) -> Profile:
    return _parse(name, name, resources.files(__name__).joinpath(f"{name}{SUFFIX}").read_bytes())


def _parse(name: str, place: str, data: bytes) -> Profile:
    try:
        fields = parse_yaml(data.decode("utf-8"))
        if not isinstance(fields, dict):
            raise ConfigError(f"profile {place} holds no `name: value` lines; see the bundled ones for an example")
        return Profile(name=name, **fields)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        ]
        raise ConfigError("\n".join([f"profile {place} is not valid:", *problems])) from error
    except (ValueError, yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"profile {place} is no YAML: {' '.join(str(error).split())}") from error

"""What a model family expects, as data: one YAML file a family, named after it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from operators.slicing import SchemeConfig
from pipeline.errors import ConfigError


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

    def by_role(self) -> dict[str, str]:
        return {role: literal for role, literal in self.model_dump().items() if literal is not None}

    def literals(self) -> tuple[str, ...]:
        """Each special token once, in the order in which ids are given to those that the tokenizer lacks."""
        return tuple(dict.fromkeys(self.by_role().values()))


class Profile(BaseModel):
    """One model family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    """The checkpoints it was read from."""
    slicing: SchemeConfig
    tokens: TokenRoles
    positions: Literal["1d", "mrope"]


def profile_names() -> list[str]:
    """The families that this version knows."""
    return sorted(
        file.name.removesuffix(".yaml") for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")
    )


@cache
def load_profile(name: str) -> Profile:
    """The profile called `name`. ConfigError names those there are."""
    if name not in profile_names():
        raise ConfigError(f"profile {name!r} is unknown; choose one of {', '.join(profile_names())}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
    try:
        return Profile(name=name, **yaml.safe_load(text))
    except ValidationError as error:
        raise ConfigError(f"profile {name}: {error}") from error

"""A job: one frozen model a section, read from YAML. Data, never code; every mistake is found before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from jobs.inputs import MIXTURE, ONE, Input, Section, Url, sections_by_source
from jobs.secrets import WHERE, is_secret_name, refuse_secrets
from jobs.sections import LimitsSection, ResourcesSection, UnitSection
from operators.budget import LEVELS, BudgetConfig
from operators.deriving.views import NUMBERS, TASKS, ViewName
from operators.discrete.config import DiscreteConfig
from operators.filters import FilterConfig
from operators.fitting import PackConfig
from operators.pack_rows import LossWeights, Pixels
from operators.placement import PlacementConfig
from operators.profiles import Profile, load_profile
from operators.reduction import AnyMethod
from operators.reduction.composing import composition_fault
from operators.slicing import Tiled
from operators.slicing.qwen import QwenConfig
from operators.slicing.resizing import ResizeName
from operators.structure import CheckName
from operators.weights import ScoreConfig
from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.guard import GRACE_SECONDS
from pipeline.yaml_text import parse_yaml


class Job(Section):
    """One build of one data set."""

    name: str = Field(min_length=1)
    """For people; changes no byte."""
    input: Input
    """One source, or `sources: {name: section}` of several."""
    output: Url
    """Folder or URL of the data set."""
    profile: str
    """Model family: a bundled one by name, or the path of a YAML file."""
    tokenizer: Url
    """SentencePiece model, tokenizer.json, rank file (tiktoken, tekken) or WordPiece vocab.txt: path or URL."""
    sequence_length: int = Field(8192, ge=16, le=1 << 20)
    """Tokens in a packed sequence; by default the profile's."""
    filters: FilterConfig | None = None
    """Rules that documents, texts and pictures must keep to; absent: none."""
    score: ScoreConfig | None = ScoreConfig()
    """Weights of the relevance maps, or none."""
    budget: BudgetConfig | None = BudgetConfig()
    """Tokens by relevance, or none: every image keeps the tokens that its family gives it."""
    reduce: tuple[AnyMethod, ...] = ()
    """Methods by name that leave out, merge, pool or drop visual tokens, in their order: `{method: wico}`; or none."""
    pack: PackConfig = PackConfig()
    placement: PlacementConfig = PlacementConfig()
    """Where a document's pictures stand among its texts."""
    derive: tuple[ViewName, ...] = ()
    """Further samples made of each document: in a wrong order (shuffle-texts, -images, -both, -steps), or as a question
    and its answer (images-to-texts, texts-to-images, continue, question-to-document); or none."""
    discrete: DiscreteConfig | None = None
    """Pictures as ids of a codebook in the sequence, all or some; or none."""
    loss_weights: LossWeights | None = None
    """Adds the column loss_weights: every trained token counts 1 (token), 1/n of its sample (sample) or 1/sqrt(n)
    (square); or none."""
    pixels: Pixels = "encoded"
    """What a pack keeps of each view: encoded picture, uint8 patches, the place in the source shard, or none."""
    check: CheckName = "decode"
    """How a picture is judged that nobody decodes, with pixels: source or none and neither score nor filters of
    pictures: by decoding it, a JPEG at 1/8; or by the structure of its file, which takes a tenth of the time or less
    and does not see damage between a JPEG's markers."""
    resize: ResizeName = "torch"
    """Who resizes views: torch, as transformers' processors on torchvision do, its default where that is installed; or
    pillow, as those on Pillow do, in five times the time. Regions under a budget are resized by Pillow in any case."""
    unit: UnitSection = UnitSection()
    resources: ResourcesSection = ResourcesSection()
    limits: LimitsSection = LimitsSection()
    limit: int | None = Field(None, ge=1)
    """Take only the first so many samples."""
    address: str | None = None
    """Ray cluster; absent: RAY_ADDRESS, or a cluster on this machine for the length of the run."""

    @field_validator("filters", "score", "budget", "discrete", "loss_weights", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value is False or value in ("none", "off") else value  # YAML reads `off` as false

    @field_validator("reduce", mode="before")
    @classmethod
    def _no_methods(cls, value: Any) -> Any:
        return () if value is None or value is False or value in ("none", "off") else value

    @field_validator("reduce")
    @classmethod
    def _methods_compose(cls, value: tuple[AnyMethod, ...]) -> tuple[AnyMethod, ...]:
        fault = composition_fault(value)
        if fault is not None:
            raise ValueError(fault)
        return value

    @field_validator("derive", mode="before")
    @classmethod
    def _no_views(cls, value: Any) -> Any:
        return () if value is None or value is False or value in ("none", "off") else value

    @field_validator("derive")
    @classmethod
    def _each_once(cls, value: tuple[ViewName, ...]) -> tuple[ViewName, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"{', '.join(value)} names a view twice; name each once")
        return tuple(sorted(value, key=NUMBERS.__getitem__))

    @field_validator("budget")
    @classmethod
    def _within_levels(cls, value: BudgetConfig | None) -> BudgetConfig | None:
        if value is not None and value.max_tokens > LEVELS[-1]:
            raise ValueError(
                f"max_tokens is {value.max_tokens}; no region has more than {LEVELS[-1]}: say {LEVELS[-1]} or fewer"
            )
        return value

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        try:
            load_profile(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_family(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("sequence_length") is None and isinstance(raw.get("profile"), str):
            with suppress(ConfigError):  # an unknown profile is told of as such
                return raw | {"sequence_length": load_profile(raw["profile"]).sequence_length}
        return raw

    @model_validator(mode="after")
    def _fits_together(self) -> Job:
        wrong: list[str] = []
        if self.sequence_length % self.pack.align:
            wrong.append(
                f"pack.align is {self.pack.align}, which does not divide sequence_length, {self.sequence_length}: "
                "choose a divisor"
            )
        if self.budget is not None and self.score is None:
            wrong.append("budget needs scores: give score its weights, or say budget: none")
        if self.budget is not None and not isinstance(load_profile(self.profile).slicing, QwenConfig | Tiled):
            wrong.append(
                f"profile {self.profile} shows a picture as one view, which no budget can shrink: say budget: none"
            )
        formats = {source.format for source, _ in sections_by_source(self.input)}
        needs_scores = [one.method for one in self.reduce if "scores" in one.needs and not one.files()]
        if needs_scores and self.score is None:
            wrong.append(
                f"reduce: {', '.join(needs_scores)} ranks tokens by scores: give score its weights, or name a file of "
                "scores"
            )
        files = sorted({path for one in self.reduce for path in one.files()})
        if len(files) > 1:
            wrong.append(f"reduce: {' and '.join(files)} both have scores: name one file for all methods")
        if "conversations" in formats and load_profile(self.profile).chat is None:
            wrong.append(f"profile {self.profile} has no chat template: choose another profile, or another format")
        tasks = [name for name in self.derive if name in TASKS]
        if tasks and load_profile(self.profile).chat is None:
            wrong.append(
                f"profile {self.profile} has no chat template, which derive needs for {', '.join(tasks)}: choose "
                "another profile, or leave them out"
            )
        least = self.limits.decode_timeout_seconds + GRACE_SECONDS
        if self.limits.stall_seconds <= least:
            wrong.append(
                f"limits.stall_seconds is {self.limits.stall_seconds:g}: one picture may take {least:g} s until it is "
                "given up (limits.decode_timeout_seconds and a little); choose more"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def resizes_with(job: Job, profile: Profile) -> ResizeName | None:
    """Who resizes the views of a job; None where no pixel of a view is kept."""
    if job.pixels in {"source", "none"}:
        return None
    shows_regions = job.budget is not None and isinstance(profile.slicing, QwenConfig)  # by a filter that torch lacks
    return "pillow" if shows_regions else job.resize


FORMS = {
    "model_type": "a section is expected, {field: value}",
    "model_attributes_type": "a section is expected, {field: value}",
    "tuple_type": "a list is expected, [value, value]",
}
"""What pydantic says in words of Python."""
NOT_RECIPE = {"name", "input", "output", "tokenizer", "profile", "resources", "address"}
"""Fields that change no byte, or that the recipe holds by content (profile, tokenizer)."""


def load_job(path: str, overrides: list[str], **options: Any) -> Job:
    """The job of a YAML file with `a.b=c` overrides and the command line's options put over it.

    ConfigError lists everything that is wrong, a line each.
    """
    try:
        raw = parse_yaml(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"no job file at {path}; give the path of a YAML file, such as jobs/quickstart.yaml"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; a YAML text file is expected") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of a date such as 2026-13-01
        raise ConfigError(f"{path} is no YAML: {_yaml_fault(error)}") from None  # it copies the text, see below
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no job; `name: value` lines are expected")
    for override in overrides:
        _override(raw, override)
    for name, value in options.items():
        if value is not None:
            if name == "input__shards":
                _refuse_mixture(raw, path)
            _put(raw, name.split("__"), value)
    return check_job(raw, path)


def check_job(raw: dict[str, Any], path: str) -> Job:
    """The job of a parsed file. ConfigError lists every mistake with its field; secrets come first, and alone."""
    refuse_secrets(raw, path)
    try:
        return Job(**raw)
    except ValidationError as error:
        problems = [f"  {_where(problem['loc'])}: {_what(problem)}" for problem in error.errors()]
        raise ConfigError("\n".join([f"{path} is no valid job:", *problems])) from error
    except TypeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _override(raw: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    path = field.split(".")
    if not equals or not all(path):
        shown = "..." if is_secret_name(override) else override
        raise ConfigError(f"--set {shown}: field=value is expected, for example --set unit.target_shards=4")
    try:
        value = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        shown = "..." if is_secret_name(override) else text
        raise ConfigError(
            f"--set {field}={shown}: {shown} is no YAML: {_yaml_fault(error)}; quote it: --set '{field}=\"...\"'"
        ) from None
    _put(raw, path, value)


def _refuse_mixture(raw: dict[str, Any], path: str) -> None:
    """ConfigError where --input cannot say of which source the shards are."""
    given = raw.get("input")
    if isinstance(given, dict) and "sources" in given:
        names = list(given["sources"]) if isinstance(given["sources"], dict) else []
        example = names[0] if names else "NAME"
        raise ConfigError(
            f"--input: {path} mixes sources ({', '.join(map(str, names))}), and --input names the shards of an only "
            f"one; say --set 'input.sources.{example}.shards=URL'"
        )


def _put(raw: dict[str, Any], path: list[str], value: Any) -> None:
    for depth, name in enumerate(path[:-1], 1):
        if isinstance(raw.get(name), list):
            whole = ".".join(path[:depth])
            raise ConfigError(f"{'.'.join(path)}: {whole} is a list; set it whole, for example --set '{whole}=[1, 2]'")
        if not isinstance(raw.get(name), dict):
            raw[name] = {}
        raw = raw[name]
    raw[path[-1]] = value


def _yaml_fault(error: Exception) -> str:
    """What is wrong and where, in one line; YAML's own message copies the text around it, which may be a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return " ".join(str(error).split())


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in {ONE, MIXTURE}) or "job"


def _what(problem: Any) -> str:
    found = problem["input"]
    if problem["type"] == "extra_forbidden":
        is_secret = is_secret_name(str(problem["loc"][-1])) and not isinstance(found, int | float | None)
        return f"unknown field; {WHERE}" if is_secret else "unknown field; remove it or check its spelling"
    if problem["type"] == "missing":
        return "missing; this field is required"
    if problem["type"].startswith("union_tag"):
        field, given = str(problem["ctx"]["discriminator"]).strip("'"), problem["ctx"].get("tag")
        return f"missing {field}: one is required" if given is None else _unknown(field, given, problem["ctx"])
    message = FORMS.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
    # What holds other fields may hold a secret among them.
    return message if isinstance(found, dict | list | tuple) else f"{message} (found {found!r:.60})"


def _unknown(field: str, given: str, context: Mapping[str, Any]) -> str:
    """What a name that stands for a kind of section should have been."""
    names = str(context["expected_tags"]).replace("'", "")
    near = get_close_matches(given, names.split(", "), 1)
    return f"no {field} is called {given!r:.60}{f'; {near[0]} perhaps' if near else ''}; there are {names}"


def absolute(url: str) -> str:
    """Local paths as absolute ones, `~` as the home folder: actors of a cluster have another working directory."""
    if not storage.is_local(url):
        return url
    try:
        return str(storage.local_path(url).expanduser().absolute())
    except RuntimeError as error:
        raise ConfigError(f"{url}: {error}; write the folder out") from error


def local_target(url: str) -> Path:
    """The absolute path of something that is written to this machine alone. ConfigError for a URL."""
    if not storage.is_local(url):
        raise ConfigError(f"{url}: a local path is expected; write it here, then copy it there")
    return Path(absolute(url))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the file system says while `path` is written into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}; choose a path that can be written") from error

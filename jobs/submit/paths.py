"""Local paths of a job that is to run on other machines: which travel with it, and which every node must see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.inputs import sections_by_source
from jobs.spec import Job
from operators.profiles import load_profile, profile_names
from operators.relevance.located import located
from operators.tokenizers.opening import open_tokenizer
from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.units import from_here

SHARED = "give a URL, or an absolute path on a file system that every node has"


@dataclass(frozen=True, slots=True)
class Paths:
    """Of a job, by where its files are when it runs."""

    travelling: tuple[Path, ...]
    """Files that its relative paths name, as from the working directory."""
    shared: tuple[str, ...]
    """Absolute local paths, each with its field."""


def sort_paths(job: Job) -> Paths:
    """The files of a job whose relative paths start at the current folder.

    ConfigError has a line for each path that would lead nowhere on a node, each file that is not here to travel, and
    a tokenizer or encoder that is none. What only the nodes can reach is not looked at.
    """
    travelling: set[Path] = set()
    shared: list[str] = []
    mistakes: list[str] = []
    if _is_relative(job.output):
        mistakes.append(f"output: {job.output} would be lost with the node that writes it; {SHARED}")
    elif storage.is_local(job.output):
        shared.append(f"output {job.output}")
    for field, path in _named(job):
        if not _is_relative(path):
            shared += [f"{field} {path}"] if storage.is_local(path) else []
            continue
        try:
            travelling |= set(_found(field, path, job))
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return Paths(tuple(sorted(travelling)), tuple(shared))


def _named(job: Job) -> Iterator[tuple[str, str]]:
    """Each field of a job that names files, and what it says."""
    for source, section in sections_by_source(job.input):
        field = "input.shards" if source.name is None else f"input.sources.{source.name}.shards"
        yield from ((field, pattern) for pattern in section.shards)
    yield "tokenizer", job.tokenizer
    if job.profile not in profile_names():
        yield "profile", job.profile
    if job.score is not None and job.score.encoder is not None:
        yield "score.encoder", job.score.encoder
    if job.discrete is not None:
        yield "discrete.codebook", job.discrete.codebook
    yield from ((f"reduce.{method.method}.scores", path) for method in job.reduce for path in method.files())
    if job.filters is not None:
        yield from (
            (f"filters.{name}", path) for name, rule in job.filters.named_rules().items() for path in rule.files()
        )
        if job.filters.encoder is not None:
            yield "filters.encoder", job.filters.encoder


def _is_relative(path: str) -> bool:
    return storage.is_local(path) and not storage.local_path(path).is_absolute()


def _found(field: str, path: str, job: Job) -> list[Path]:
    """The files of a relative path, as from the current folder. ConfigError if they cannot travel."""
    local = storage.local_path(path)
    if local.parts and local.parts[0].startswith("~"):
        raise ConfigError(f"{field}: {path}: every node has a home folder of its own; {SHARED}")
    if field.startswith("input."):
        # Each node would unpack a copy with a date of its own, which reading takes for a shard that changed.
        raise ConfigError(f"{field}: {path}: shards do not travel with a job; {SHARED}")
    if not local.exists():
        raise ConfigError(f"{field}: no such file: {path}{from_here(path)}; name one, or {SHARED}")
    _check(field, local, job)
    files = [file for file in sorted(local.rglob("*")) if file.is_file()] if local.is_dir() else [local]
    return [_inside(field, file) for file in files]


def _check(field: str, local: Path, job: Job) -> None:
    """ConfigError for a tokenizer or an encoder that is none: a driver would say so minutes later."""
    if field == "tokenizer":
        profile = load_profile(job.profile)
        tokens = profile.tokens.literals()
        open_tokenizer(local.read_bytes(), tokens, str(local), profile.tokenizer_pattern, profile.reserved_ids)
    if field.endswith("encoder"):
        located(str(local))


def _inside(field: str, file: Path) -> Path:
    """`file` as from the current folder. ConfigError if it lies outside: no relative path would find it there."""
    folder = Path.cwd()
    inside = Path(os.path.normpath(file.absolute()))
    if not inside.is_relative_to(folder):
        raise ConfigError(
            f"{field}: {inside} lies outside {folder}, which travels with the job; say --working-dir FOLDER with a "
            f"folder that holds both, and paths as from there, or {SHARED}"
        )
    return inside.relative_to(folder)

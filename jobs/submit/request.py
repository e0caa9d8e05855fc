"""What a job needs on a cluster: its files, its environment, its command line, and what makes it the same job again."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.spec import Job, absolute, load_job
from jobs.submit.environment import merged, read_environment
from jobs.submit.paths import sort_paths
from jobs.submit.upload import Files, digest, own_code, refuse_large
from pipeline import storage
from pipeline.errors import ConfigError

JOB_FOLDER = "submitted"
"""Of the job file, in the upload, where no file of the user's has its name."""


@dataclass(frozen=True, slots=True)
class Given:
    """A job as the command line gives it."""

    job: str
    overrides: Sequence[str]
    input: Sequence[str]
    output: str | None
    limit: int | None
    options: Sequence[str]
    """Further ones of `lodepack run`."""
    working_dir: str | None
    runtime_env: str | None
    variables: Sequence[str]
    """Names of variables of this process that go with it."""
    install: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be submitted."""

    name: str
    output: str
    entrypoint: str
    files: Files
    runtime_env: dict[str, Any]
    shared: tuple[str, ...]
    """Absolute local paths, each with its field: every node must see them."""

    @property
    def identity(self) -> str:
        """Two requests with one identity are the same work: name, output, job, options, files, code and environment.

        Without the values of variables: credentials that were renewed make no other job.
        """
        environment = self.runtime_env | {"env_vars": sorted(self.runtime_env["env_vars"])}
        parts = [self.name, self.output, self.entrypoint, digest(self.files), environment]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def make_request(given: Given) -> Request:
    """Reads the job and finds what it needs. Relative paths in it start at the working directory.

    ConfigError has a line for each mistake, of the job or else of its files and its environment.
    """
    path = os.path.abspath(given.job)  # noqa: PTH100 - as the user wrote it, links and all
    environment = read_environment(given.runtime_env)
    folder = Path(given.working_dir or ".")
    if not folder.is_dir():
        raise ConfigError(f"--working-dir {folder}: no such folder; name the one from which the job's paths are meant")
    with chdir(folder):
        shards = list(given.input) or None
        job = load_job(path, list(given.overrides), input__shards=shards, output=given.output, limit=given.limit)
        mistakes: list[str] = []
        try:
            runtime_env = merged(environment, given.variables, install=given.install)
        except ConfigError as error:
            mistakes.append(str(error))
        try:
            paths = sort_paths(job)
        except ConfigError as error:
            mistakes.append(str(error))
        if mistakes:
            raise ConfigError("\n".join(mistakes))
        excludes = environment.get("excludes") or []
        files = _whole_folder(job, excludes) if given.working_dir is not None else {}
        files |= {name.as_posix(): name.absolute() for name in paths.travelling} | own_code()
    where = f"{JOB_FOLDER}/{Path(path).name}"
    # The address of a job would lead its driver from the cluster that it runs on to another.
    fields = job.model_dump(mode="json", exclude_unset=True, exclude={"address"})
    files[where] = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).encode()
    refuse_large(files)
    entrypoint = shlex.join(["python", "-m", "jobs", "run", where, *given.options])
    return Request(job.name, _one_spelling(job.output), entrypoint, files, runtime_env, paths.shared)


def _one_spelling(output: str) -> str:
    """An output as the head compares it: the same for the same place."""
    return os.path.normpath(absolute(output)) if storage.is_local(output) else output.rstrip("/")


def _whole_folder(job: Job, excludes: Sequence[str]) -> dict[str, Path | bytes]:
    """The files of the current folder, without what is ignored there and without the output."""
    from pipeline.ray_runner.submitting import unignored_files

    here = Path.cwd()
    output = Path(absolute(job.output)) if storage.is_local(job.output) else None
    found = [path for path in unignored_files(here, excludes) if output is None or not path.is_relative_to(output)]
    return {path.relative_to(here).as_posix(): path for path in found}

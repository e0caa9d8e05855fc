"""The runtime environment of a submission: the user's, with what lodepack puts over it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import yaml

import jobs
from pipeline.errors import ConfigError
from pipeline.yaml_text import parse_yaml

STOP_SECONDS = "30"
"""A driver that is asked to end gets so long to remove what it did not commit; Ray's default is 3."""
OURS = {"working_dir": "--working-dir DIR", "py_modules": "--working-dir DIR: a driver finds modules there"}
"""Fields that a file may not have, and what says them instead."""


def read_environment(path: str | None) -> dict[str, Any]:
    """The runtime environment of a YAML file; empty without one. ConfigError in one line if it is none."""
    if path is None:
        return {}
    try:
        found = parse_yaml(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "is no YAML"  # YAML's own message copies the text
        raise ConfigError(f"--runtime-env {path}: {what}; a YAML file of a runtime environment is expected") from None
    if not isinstance(found, dict):
        raise ConfigError(f"--runtime-env {path} holds no `name: value` lines; see Ray's runtime environments")
    for name in OURS.keys() & found.keys():
        raise ConfigError(
            f"--runtime-env {path}: {name} is what lodepack sets itself; leave it out, and say {OURS[name]}"
        )
    for name, kind, form in (("env_vars", dict, "{NAME: value}"), ("excludes", list, "[pattern]")):
        if not isinstance(found.get(name) or kind(), kind):
            raise ConfigError(f"--runtime-env {path}: {name}: {form} is expected")
    return found


def merged(given: dict[str, Any], names: Sequence[str], *, install: bool) -> dict[str, Any]:
    """`given` with the variables of this process called `names`, and with our dependencies if they are to be installed.

    ConfigError for a variable that is not set, a line each, and where pip has two masters.
    """
    missing = [f"--env {name}: not set here; export it, or leave it out" for name in names if name not in os.environ]
    if missing:
        raise ConfigError("\n".join(missing))
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_SECONDS} | (given.get("env_vars") or {})
    ours: dict[str, Any] = {"env_vars": variables | {name: os.environ[name] for name in names}}
    if install:
        theirs = given.get("pip") or []
        if not isinstance(theirs, list) or {"uv", "conda"} & given.keys():
            raise ConfigError(
                "--install adds to a list `pip` of the runtime environment; write it as one, without conda"
            )
        ours["pip"] = [*own_dependencies(), *theirs]
    return {name: value for name, value in given.items() if name != "excludes"} | ours


def own_dependencies() -> list[str]:
    """What lodepack needs, each as it is installed here. Without Ray, which must be the cluster's own."""
    names = [match[0] for line in _required() if (match := re.match(r"[A-Za-z0-9._-]+", line)) and match[0] != "ray"]
    return sorted(f"{name}=={version(name).partition('+')[0]}" for name in names)


def _required() -> list[str]:
    try:
        lines = [line for line in requires("lodepack") or [] if "extra ==" not in line]
    except PackageNotFoundError:  # of a checkout
        project = Path(jobs.__path__[0]).parent / "pyproject.toml"
        lines = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    return lines

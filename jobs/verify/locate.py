"""Where the shards and the tokenizer of an output are: as its last run recorded, or as the caller says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import braceexpand

from pipeline import storage
from pipeline.errors import ConfigError


def last_run(output: str) -> dict[str, Any]:
    """The newest record in runs/; empty if there is none."""
    names = [name for name in storage.list_names(storage.join(output, "runs")) if name.endswith(".json")]
    if not names:
        return {}
    record: dict[str, Any] = json.loads(storage.read_bytes(storage.join(output, "runs", names[-1])))
    return record


def locate_shards(names: Iterable[str], patterns: Sequence[str], recorded: dict[str, str]) -> dict[str, str]:
    """The URL of each shard: of the files that `patterns` name the one that ends in its name, or the recorded one.

    ConfigError names the first shard that is nowhere.
    """
    given = [url for pattern in patterns for part in braceexpand.braceexpand(pattern) for url in _expand(part)]
    urls: dict[str, str] = {}
    for name in names:
        found = [url for url in given if url == name or url.endswith(f"/{name}")]
        if len(set(found)) > 1:
            raise ConfigError(f"--input names {name} twice ({found[0]} and {found[1]}); narrow the pattern")
        url = found[0] if found else recorded.get(name) if not patterns else None
        if url is None or not (found or storage.exists(url)):
            place = f"--input {' '.join(patterns)}" if patterns else url or "the last run's record"
            raise ConfigError(f"shard {name} is not at {place}; say where the shards are with --input URL")
        urls[name] = url
    return urls


def _expand(pattern: str) -> list[str]:
    if any(letter in pattern for letter in "*?["):
        return storage.expand_glob(pattern)
    return [pattern] if storage.exists(pattern) else []

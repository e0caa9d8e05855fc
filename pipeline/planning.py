"""What a run has to do: which units the input makes, which of them the output already holds, and whether it may.

Shards are known by content. A hash once taken is kept in OUT/runs beside the file's size and ETag or time, so that
a rebuild of an unchanged input reads none of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.formats import FORMATS
from pipeline.read import count_samples
from pipeline.types import Shard, Unit
from pipeline.units import group_shards, recipe_difference, recipe_hash, unit_id

HASHES = "runs/shards"
HASHING_THREADS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """Units by what is left to do with them."""

    recipe: dict[str, Any]
    recipe_id: str
    todo: tuple[Unit, ...]
    done: tuple[str, ...]
    """Ids of units that are committed already."""
    fingerprints: dict[str, str]
    """Of each shard's URL, taken before the run."""
    withheld_shards: tuple[str, ...]
    """Names of shards that a limited run does not read."""


def make_plan(
    output: str,
    shards: Sequence[Shard],
    recipe: dict[str, Any],
    *,
    target_shards: int,
    format_name: str,
    limit: int | None,
    rebuild: bool,
) -> Plan:
    """The plan of a run. ConfigError if the output was built with another recipe and `rebuild` is off."""
    recipe_id = recipe_hash(recipe)
    manifests = {name.removesuffix(".json") for name in storage.list_names(storage.join(output, "manifests"))}
    if manifests and not rebuild:
        _refuse_other_recipe(output, recipe, min(manifests))
    taken, takes = _limited(shards, format_name, limit)
    fingerprints = _map(storage.fingerprint, [shard.url for shard in taken])
    known = _known_hashes(output, fingerprints) if manifests else {}
    if manifests:
        unknown = [shard.url for shard in taken if shard.url not in known]
        known |= _map(storage.hash_file, unknown)
    todo: list[Unit] = []
    done: list[str] = []
    start = 0
    for number, group in enumerate(group_shards(taken, target_shards)):
        take = takes[start : start + len(group)] if takes is not None else None
        start += len(group)
        if all(shard.url in known for shard in group):
            identity = unit_id([(shard.name, known[shard.url]) for shard in group], recipe_id, take)
            if identity in manifests:
                done.append(identity)
                continue
        todo.append(Unit(number, group, take))
    withheld = tuple(shard.name for shard in shards[len(taken) :])
    return Plan(recipe, recipe_id, tuple(todo), tuple(done), fingerprints, withheld)


def latest_version(output: str) -> tuple[int, dict[str, Any] | None]:
    """The highest version's number and content; (0, None) before the first."""
    names = [name for name in storage.list_names(storage.join(output, "versions")) if name.endswith(".json")]
    if not names:
        return 0, None
    return int(names[-1].removesuffix(".json")), read_json(storage.join(output, "versions", names[-1]))


def read_json(url: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(storage.read_bytes(url)))


def _refuse_other_recipe(output: str, recipe: dict[str, Any], any_unit: str) -> None:
    _, version = latest_version(output)
    old = (version or read_json(storage.join(output, "manifests", f"{any_unit}.json")))["recipe"]
    difference = recipe_difference(old, recipe)
    if difference:
        raise ConfigError(
            f"{output} was built with another recipe ({'; '.join(difference)}); "
            "choose another output, or say --rebuild to build it anew beside the old"
        )


def _limited(
    shards: Sequence[Shard], format_name: str, limit: int | None
) -> tuple[Sequence[Shard], tuple[int, ...] | None]:
    """The shards that hold the first `limit` samples, and how many of each to take."""
    if limit is None:
        return shards, None
    takes: list[int] = []
    left = limit
    for shard in shards:
        if left <= 0:
            break
        with storage.open_input(shard.url) as (stream, size):
            samples = count_samples(stream, size, format=FORMATS[format_name])
        takes.append(min(left, samples))
        left -= samples
    return shards[: len(takes)], tuple(takes)


def _known_hashes(output: str, fingerprints: dict[str, str]) -> dict[str, str]:
    """sha256 by URL, of shards that have not changed since they were hashed."""
    folder = storage.join(output, HASHES)
    names = [name for name in storage.list_names(folder) if name.endswith(".json")]
    known: dict[str, str] = {}
    for entries in _map(_read_cache, [storage.join(folder, name) for name in names]).values():
        known |= {url: sha for url, (stamp, sha) in entries.items() if fingerprints.get(url) == stamp}
    return known


def _read_cache(url: str) -> dict[str, Any]:
    try:
        return read_json(url)
    except ValueError:  # it is only a cache: what it does not say is hashed again
        return {}


def _map(function: Any, urls: Sequence[str]) -> dict[str, Any]:
    """`function` of each URL, several at once."""
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        return dict(zip(urls, threads.map(function, urls), strict=True))

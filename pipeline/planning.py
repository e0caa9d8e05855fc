"""What a run has to do: which units the input makes, which of them the output already holds, and whether it may.

Shards are known by content. A hash once taken is kept in OUT/runs beside the file's size and ETag or time, so that
a rebuild of an unchanged input reads none of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.records import read_manifest, read_version
from pipeline.replanning import Hashes, MayReplan, OlderUnits
from pipeline.schema import SCHEMA_VERSION
from pipeline.takes import Inputs, Taken, take_samples
from pipeline.types import Source, Unit
from pipeline.units import canonical_json, group_shards, recipe_difference, recipe_hash, unit_id, unit_recipe

HASHES = "runs/shards"
"""A file a unit, written before its commit."""
ALL_HASHES = "shards.hashes"
"""The same of all units of a finished run; no `.json`, which are the runs' records."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Units by what is left to do with them."""

    recipe: dict[str, Any]
    """What all units have in common."""
    recipe_id: str
    sources: tuple[Source, ...]
    todo: tuple[Unit, ...]
    done: tuple[str, ...]
    """Ids of units that are committed already."""
    fingerprints: dict[str, str]
    """Of each shard's URL, taken before the run."""
    withheld_shards: tuple[str, ...]
    """Names of shards that a limited run, or a source's max_samples, does not read."""
    known: Mapping[str, str] = field(default_factory=dict)
    """sha256 of shards by URL, as far as the plan knows them."""
    hashed: frozenset[str] = frozenset()
    """URLs of those that had to be read for it: no run before remembers them as they are."""


def make_plan(
    output: str,
    inputs: Inputs,
    recipe: dict[str, Any],
    *,
    target_shards: int,
    limit: int | None,
    rebuild: bool,
    may_replan: MayReplan,
) -> Plan:
    """The plan of a run. ConfigError if the output was built with another recipe and `rebuild` is off.

    may_replan: which units of the newest version a unit that is to be built may start from.
    """
    recipe_id = recipe_hash(recipe)
    recipe_ids = {source: recipe_hash(unit_recipe(recipe, source)) for source, _ in inputs}
    manifests = {name.removesuffix(".json") for name in storage.list_names(storage.join(output, "manifests"))}
    if manifests and not rebuild:
        _refuse_other_recipe(output, recipe, min(manifests))
    taken = take_samples(inputs, limit)
    urls = [shard.url for one in taken for shard in one.shards]
    fingerprints = storage.fingerprints(urls)
    for url in urls:
        if url not in fingerprints:
            raise StorageError(f"{url} was there and is gone; run the job again")
    known = _known_hashes(output, fingerprints) if manifests else {}
    hashed_now = _map(storage.hash_file, [url for url in urls if url not in known]) if manifests else {}
    known |= hashed_now
    todo: list[Unit] = []
    hashed: dict[int, list[tuple[str, str]]] = {}
    done: list[str] = []
    for unit in _units(taken, target_shards):
        if all(shard.url in known for shard in unit.shards):
            hashes = [(shard.name, known[shard.url]) for shard in unit.shards]
            identity = unit_id(hashes, recipe_ids[unit.source], unit.take)
            if identity in manifests:
                done.append(identity)
                continue
            hashed[unit.number] = hashes
        todo.append(unit)
    if hashed:
        older = _older_units(output, may_replan, {tuple(hashes) for hashes in hashed.values()})
        todo = [
            older.found(unit, hashed[unit.number], unit_recipe(recipe, unit.source)) if unit.number in hashed else unit
            for unit in todo
        ]
    sources = tuple(source for source, _ in inputs)
    withheld = tuple(shard.name for one in taken for shard in one.withheld)
    return Plan(
        recipe, recipe_id, sources, tuple(todo), tuple(done), fingerprints, withheld, known, frozenset(hashed_now)
    )


def _units(taken: Sequence[Taken], target_shards: int) -> list[Unit]:
    """Units of all sources in the order of work: when half of them are done, half of each source is."""
    found: list[tuple[Fraction, Unit]] = []
    for one in taken:
        groups = group_shards(one.shards, target_shards)
        start = 0
        for i, group in enumerate(groups):
            take = one.takes[start : start + len(group)] if one.takes is not None else None
            start += len(group)
            found.append((Fraction(2 * i + 1, 2 * len(groups)), Unit(0, group, one.source, take)))
    ordered = sorted(found, key=lambda entry: entry[0])
    return [replace(unit, number=number) for number, (_, unit) in enumerate(ordered)]


def _older_units(output: str, may_replan: MayReplan, wanted: set[Hashes]) -> OlderUnits:
    """The older units of the wanted shards. Of the others nothing is kept: a thousand manifests have 150 MB."""

    def read(url: str) -> dict[str, Any] | None:
        manifest = read_manifest(url)
        hashes = tuple((entry["shard"], entry["sha256"]) for entry in manifest["inputs"])
        return manifest if "closes" in manifest or hashes in wanted else None

    _, version = latest_version(output)
    units = version["units"] if version is not None and version["schema_version"] == SCHEMA_VERSION else []
    urls = [storage.join(output, "manifests", f"{unit}.json") for unit in units]
    found = [manifest for manifest in _map(read, urls).values() if manifest is not None]
    return OlderUnits(output, found, may_replan)


def version_numbers(output: str) -> list[int]:
    """The numbers of the versions that there are, ascending; older ones may have been pruned."""
    names = storage.list_names(storage.join(output, "versions"))
    return sorted(int(name.removesuffix(".json")) for name in names if re.fullmatch(r"[0-9]{6}\.json", name))


def version_url(output: str, number: int) -> str:
    """Where the version of a number is, or would be."""
    return storage.join(output, "versions", f"{number:06d}.json")


def latest_version(output: str) -> tuple[int, dict[str, Any] | None]:
    """The highest version's number and content; (0, None) before the first."""
    numbers = version_numbers(output)
    return (numbers[-1], read_version(version_url(output, numbers[-1]))) if numbers else (0, None)


def _refuse_other_recipe(output: str, recipe: dict[str, Any], any_unit: str) -> None:
    _, version = latest_version(output)
    old = (version or read_manifest(storage.join(output, "manifests", f"{any_unit}.json")))["recipe"]
    old = {name: value for name, value in old.items() if name != "source"}  # a manifest's has its source's beside
    difference = recipe_difference(old, recipe)
    if difference:
        raise ConfigError(
            f"{output} was built with another recipe ({'; '.join(difference)}); "
            "choose another output, or say --rebuild to build it anew beside the old"
        )


def _known_hashes(output: str, fingerprints: dict[str, str]) -> dict[str, str]:
    """sha256 by URL, of shards that have not changed since they were hashed."""
    known: dict[str, str] = {}

    def learn(urls: Sequence[str]) -> None:
        for entries in _map(_read_cache, urls).values():
            known.update({url: sha for url, (stamp, sha) in entries.items() if fingerprints.get(url) == stamp})

    names = [name for name in storage.list_names(storage.join(output, "runs")) if name == ALL_HASHES]
    learn([storage.join(output, "runs", name) for name in names])
    if not known.keys() >= fingerprints.keys():
        folder = storage.join(output, HASHES)
        learn([storage.join(folder, name) for name in storage.list_names(folder) if name.endswith(".json")])
    return known


def remember_hashes(output: str, plan: Plan, committed: Mapping[str, str]) -> None:
    """Writes what is known of all shards of a finished run into one file, so that the next one need not read a
    thousand: until then each unit has one of its own, since a run may be killed after any commit.

    committed: sha256 by URL of the shards of the units that the run built.
    """
    known = {**plan.known, **committed}
    entries = {url: [stamp, known[url]] for url, stamp in plan.fingerprints.items() if url in known}
    storage.overwrite(output, f"runs/{ALL_HASHES}", canonical_json(entries))


def _read_cache(url: str) -> dict[str, Any]:
    """The entries of a file of hashes. It is only a cache: what it does not say is hashed again."""
    try:
        entries = json.loads(storage.read_bytes(url))
    except (ValueError, RecursionError):
        return {}
    pairs = entries.items() if isinstance(entries, dict) else ()
    return {name: pair for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _map(function: Any, urls: Sequence[str]) -> dict[str, Any]:
    """`function` of each URL, several at once."""
    with ThreadPoolExecutor(storage.THREADS) as threads:
        return dict(zip(urls, threads.map(function, urls), strict=True))

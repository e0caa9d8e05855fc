"""Which shards are packed together, and the names that follow from content: unit ids and recipe hashes.

A unit ends after a shard whose name hashes under 1/target. Borders thus depend on names alone, and adding or
removing a shard touches only the unit it falls into and, where a border moves, the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import braceexpand

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.types import Shard, Source

MIN_SHARE = 4
"""A unit has at least target / 4 shards (and one), so that its last, part-filled pack stays cheap."""
MAX_SHARE = 2
"""A unit has at most target * 2 shards, so that a redone unit stays cheap."""
HASH_DIGITS = 16


def list_shards(patterns: Sequence[str], source: str | None = None) -> list[Shard]:
    """The shards that brace and glob patterns name, sorted by name; a name is the path below its fixed folder.

    source: of a mixture; it stands before the names of its shards, so that no two sources have one name.

    ConfigError when a pattern matches nothing, a braced file is not there or is a folder, or two shards have one
    name: a line for each pattern that is wrong.
    """
    field = "input.shards" if source is None else f"input.sources.{source}.shards"
    shards: dict[str, Shard] = {}
    mistakes: list[str] = []
    for pattern in patterns:
        try:
            _add_shards(shards, pattern)
        except ConfigError as error:
            mistakes.append(f"{field}{error}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    prefix = "" if source is None else f"{source}/"
    return [Shard(f"{prefix}{name}", shards[name].url) for name in sorted(shards)]


def from_here(url: str) -> str:
    """What to add to an error about a file that is not there: a local path may have been relative."""
    return " (relative paths start at the current folder)" if storage.is_local(url) else ""


def _add_shards(shards: dict[str, Shard], pattern: str) -> None:
    """Adds the shards of one pattern by name. A ConfigError begins where the field's name ends."""
    root = _fixed_folder(pattern)
    parts = _expand_braces(pattern)
    # One by one, a thousand objects of a store take half a minute.
    there = storage.fingerprints(parts) if len(parts) > 1 and not storage.is_local(pattern) else {}
    urls = [url for part in parts for url in ([part] if part in there else _files(part))]
    if not urls:
        raise ConfigError(
            f" matches no file: {pattern}{from_here(pattern)}; check the folder and the numbers in braces"
        )
    for url in urls:
        name = _name(url, root)
        if name in shards:
            raise ConfigError(_twice(name, shards[name].url, url))
        shards[name] = Shard(name, url)


def _twice(name: str, one: str, other: str) -> str:
    if one == other:
        return f" names {one} twice; leave one of its patterns out"
    return (
        f" names {name} twice ({one} and {other}); every shard needs its own name: "
        "use one pattern for both, such as /data/{p,q}/*.tar"
    )


def _fixed_folder(pattern: str) -> str:
    """The part of a pattern up to the last slash before its first wildcard."""
    wild = min((pattern.find(c) for c in "*?[{" if c in pattern), default=len(pattern))
    return pattern[: pattern.rfind("/", 0, wild) + 1]


def _expand_braces(pattern: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        raise ConfigError(f": unbalanced braces: {pattern}; write ranges as {{000000..000007}}") from error


def _name(url: str, root: str) -> str:
    """The path of a file below `root`. A glob may have answered with the same local path spelt otherwise."""
    if url.startswith(root) or not storage.is_local(url):
        return url.removeprefix(root)
    return Path(os.path.relpath(storage.local_path(url), storage.local_path(root))).as_posix()


def _files(pattern: str) -> list[str]:
    if any(c in pattern for c in "*?["):
        return [url for url in storage.expand_glob(pattern) if not _is_local_folder(url)]
    if not storage.exists(pattern):
        raise ConfigError(f": no such file: {pattern}{from_here(pattern)}; check the folder and the numbers in braces")
    if _is_folder(pattern):
        raise ConfigError(f": {pattern} is a folder; write {storage.join(pattern, '*.tar')}")
    return [pattern]


def _is_local_folder(url: str) -> bool:
    return storage.is_local(url) and storage.local_path(url).is_dir()


def _is_folder(url: str) -> bool:
    """Whether an existing `url` is a folder. On a store that takes a request, spared for names with an extension."""
    if storage.is_local(url):
        return storage.local_path(url).is_dir()
    name = url.rstrip("/").rsplit("/", 1)[-1]
    return url.endswith("/") or ("." not in name and storage.list_names(url) != [name])


def group_shards(shards: Sequence[Shard], target_shards: int) -> list[tuple[Shard, ...]]:
    """Shards in units with content-defined borders: at least target/4 and at most target*2 shards each."""
    least, most = max(1, target_shards // MIN_SHARE), target_shards * MAX_SHARE
    groups: list[tuple[Shard, ...]] = []
    group: list[Shard] = []
    for shard in shards:
        group.append(shard)
        if len(group) >= most or (len(group) >= least and _ends_unit(shard.name, target_shards)):
            groups.append(tuple(group))
            group = []
    if group:
        groups.append(tuple(group))
    return groups


def _ends_unit(name: str, target_shards: int) -> bool:
    value = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return value * target_shards < 1 << 64


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and a final newline: equal values give equal bytes."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def recipe_hash(recipe: dict[str, Any]) -> str:
    """The short hash of everything but the input's bytes that changes the output's bytes."""
    return hashlib.sha256(canonical_json(recipe)).hexdigest()[:HASH_DIGITS]


def unit_recipe(recipe: dict[str, Any], source: Source) -> dict[str, Any]:
    """The recipe of a source's units: the job's, and what belongs to the source alone."""
    return recipe | {"source": source.recipe}


def unit_id(shards: Sequence[tuple[str, str]], recipe: str, take: Sequence[int] | None = None) -> str:
    """The id of a unit from its shards' (name, sha256) in order, the recipe hash and, if limited, the samples taken."""
    entries: list[list[Any]] = [list(shard) for shard in shards]
    if take is not None:
        entries = [[*entry, number] for entry, number in zip(entries, take, strict=True)]
    return hashlib.sha256(canonical_json([entries, recipe])).hexdigest()[:HASH_DIGITS]


def closing_id(closes: Sequence[str], recipe: str) -> str:
    """The id of the closing unit from the ids of the units that it closes, in order, and the recipe hash."""
    return hashlib.sha256(canonical_json([["closing", *closes], recipe])).hexdigest()[:HASH_DIGITS]


def recipe_difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two recipes differ in, a line a field: `a.b: old -> new`. Empty only if their hashes are equal."""

    def flat(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict) or (prefix and not value):
            return {prefix: value}
        return {
            k: v for key, child in value.items() for k, v in flat(child, f"{prefix}.{key}" if prefix else key).items()
        }

    before, after = flat(old, ""), flat(new, "")
    absent = "(absent)"
    return [
        f"{key}: {before.get(key, absent)} -> {after.get(key, absent)}"
        for key in sorted(before.keys() | after.keys())
        if canonical_json(before.get(key, absent)) != canonical_json(after.get(key, absent))
    ]

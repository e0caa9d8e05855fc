"""Where the shards and the tokenizer of an output are: as its last run recorded, or as the caller says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import braceexpand

from pipeline import storage
from pipeline.errors import ConfigError


def locate_shards(
    names: Iterable[str], patterns: Sequence[str], recorded: dict[str, str], sources: Collection[str] = ()
) -> dict[str, str]:
    """The URL of each shard: of the files that `patterns` name the one that ends in its name, or the recorded one.

    sources: of a mixture. They begin its shards' names but not those of its files, and `SOURCE=PATTERN` names files of
    one of them. ConfigError names the first shard that is nowhere.
    """
    given: list[tuple[str, str]] = []
    for pattern in patterns:
        source, equals, rest = pattern.partition("=")
        source, wanted = (source, rest) if equals and source in sources else ("", pattern)
        given += [(source, url) for part in braceexpand.braceexpand(wanted) for url in _expand(part)]
    urls: dict[str, str] = {}
    for name in names:
        own, _, file = name.partition("/") if sources else ("", "", name)
        found = [url for source, url in given if source in {"", own} and (url == file or url.endswith(f"/{file}"))]
        if len(set(found)) > 1:
            narrow = f"say --input '{own}=URL'" if own else "narrow the pattern"
            raise ConfigError(f"--input names {name} twice ({found[0]} and {found[1]}); {narrow}")
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

"""Where the records of each loose layout name their pictures, and how a record says it once they are members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Entry = tuple[dict[str, Any], str]
"""An object of a record and the field of it that names a picture."""


@dataclass(frozen=True, slots=True)
class Layout:
    """paths: what a record says of its pictures, in order. renamed: the record when they are named `0.jpg`, `1.png` …

    without: the record when some pictures, by number, are left out; None where a document needs all of its own.
    """

    paths: Callable[[dict[str, Any]], list[Any]]
    renamed: Callable[[dict[str, Any], list[str]], dict[str, Any]]
    without: Callable[[dict[str, Any], set[int]], dict[str, Any]] | None = None


def _spoken(record: dict[str, Any]) -> list[Any]:
    """LLaVA has one path or a list under image, ShareGPT a list under images."""
    found = record.get("image") or record.get("images") or []
    return found if isinstance(found, list) else [found]


def _same(record: dict[str, Any], _: list[str]) -> dict[str, Any]:
    return record


def _infos(record: dict[str, Any]) -> Iterator[Entry]:
    infos = record.get("image_info")
    for info in infos if isinstance(infos, list) else []:
        if isinstance(info, dict) and not info.get("image_base64"):
            yield info, "image_name"


def _parts(record: dict[str, Any]) -> Iterator[Entry]:
    summary, steps = record.get("summary_info"), record.get("step_info")
    for step in [summary, *(steps if isinstance(steps, list) else [])]:
        for part in step if isinstance(step, list) else []:
            if isinstance(part, dict) and part.get("type") == "image":
                yield part, "image_path"


def _by(entries: Callable[[dict[str, Any]], Iterator[Entry]]) -> tuple[Any, Any]:
    """Paths and renamed of a layout that has an object a picture."""

    def paths(record: dict[str, Any]) -> list[Any]:
        return [holder.get(name) for holder, name in entries(record)]

    def renamed(record: dict[str, Any], names: list[str]) -> dict[str, Any]:
        for (holder, field), name in zip(list(entries(record)), names, strict=True):
            holder[field] = name
        return record

    return paths, renamed


def _without(record: dict[str, Any], gone: set[int]) -> dict[str, Any]:
    """An MMC4 document without some of its pictures: the sentences, and how alike the others are, stay."""
    entries = [holder for holder, _ in _infos(record)]
    dropped = {id(entries[number]) for number in gone}
    left = [number for number, info in enumerate(record["image_info"]) if id(info) not in dropped]
    matrix = record.get("similarity_matrix")
    is_whole = isinstance(matrix, list) and len(matrix) == len(record["image_info"])
    kept = {"similarity_matrix": [matrix[number] for number in left]} if is_whole and matrix is not None else {}
    return record | {"image_info": [record["image_info"][number] for number in left]} | kept


LAYOUTS = {
    "conversations": Layout(_spoken, _same),
    "mmc4": Layout(*_by(_infos), without=_without),
    "comm": Layout(*_by(_parts)),
}

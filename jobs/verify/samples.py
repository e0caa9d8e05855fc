"""The samples of a shard in order, by the rules of the output contract: which are sound, and what segments they have.

Members that stand together and share a key are one sample. A damage, or a member whose name gives no key, is a
sample of its own, numbered after the group it stands in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs.verify.walk import Entry, Source, walk
from pipeline.types import Segment, SegmentKind

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
UNSAFE = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
MOST_WAITING = 1024
"""Damages that wait for a group to end; one more ends it."""


@dataclass(frozen=True, slots=True)
class Found:
    """One sample of a shard. fault: why no build may pack it, or empty. ignored: members that it has no use for.

    places: (member, offset, size) of everything that it consists of.
    """

    key: str
    segments: tuple[Segment, ...] = ()
    fault: str = ""
    ignored: int = 0
    places: frozenset[tuple[str, int, int]] = frozenset()


def read_samples(source: Source, form: str, max_member_bytes: int) -> Iterator[Found]:
    """Every sample of a shard, from ordinal 0 on."""

    def wanted(name: str) -> bool:
        field = (split_name(name, form) or ("", ""))[1]
        return field == ("json" if form == "interleaved" else "txt") or _is_image(field)

    key: str | None = None
    members: list[tuple[str, Entry]] = []
    odd: list[Found] = []
    ended: set[str] = set()
    is_split = False

    def close() -> Iterator[Found]:
        if key is not None:
            yield _to_sample(key, members, form, is_split=is_split)
        yield from odd

    for entry in walk(source, max_member_bytes, wanted):
        split = None if entry.name is None else split_name(entry.name, form)
        if split is None:
            odd.append(Found(f"@{entry.offset}", fault="is no member of a sample", places=_places_of([entry])))
            if key is None or len(odd) >= MOST_WAITING:
                yield from close()
                key, members, odd = None, [], []
            continue
        if split[0] != key:
            yield from close()
            key, members, odd = split[0], [], []
            is_split = key in ended
            ended.add(key)
        members.append((split[1], entry))
    yield from close()


def split_name(name: str, form: str) -> tuple[str, str] | None:
    """(key, field) of a member; None without an extension, for hidden files, and for names that are not UTF-8."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return None
    base = name.rsplit("/", 1)[-1]
    stem, dot, extension = base.rpartition(".")
    if not dot or not stem or not extension or base.startswith("."):
        return None
    key, field = name[: -len(extension) - 1], extension.lower()
    if form == "interleaved" and field in IMAGES:
        outer, dot, number = key.rpartition(".")
        if outer and number.isascii() and number.isdigit():
            return outer, f"{number}.{field}"
    return key, field


def _to_sample(key: str, members: list[tuple[str, Entry]], form: str, *, is_split: bool) -> Found:
    places = _places_of(entry for _, entry in members)
    fault = "stands apart from other members of its key" if is_split else _member_fault(members, form)
    segments: tuple[Segment, ...] = ()
    if not fault:
        segments, fault = _interleaved(key, members) if form == "interleaved" else _pair(members)
    if not segments:
        return Found(key, fault=fault, places=places)
    num_used = 1 + sum(segment.data is not None for segment in segments)
    return Found(key, segments, fault, len(members) - num_used, places)


def _places_of(entries: Iterable[Entry]) -> frozenset[tuple[str, int, int]]:
    return frozenset((as_utf8(entry.name or ""), entry.offset, entry.size) for entry in entries)


def as_utf8(name: str) -> str:
    """A name as the rejects have it: what is not Unicode is escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _member_fault(members: list[tuple[str, Entry]], form: str) -> str:
    """Why no format may accept such members, or nothing."""
    names = [entry.name or "" for _, entry in members]
    if len(set(names)) < len(names):
        return "has two members of one name"
    if any(name.rpartition(".")[2].lower() in UNSAFE for name in names):
        return "has a member that may run code"
    needed = "json" if form == "interleaved" else "txt"
    if any(entry.data is None and (field == needed or _is_image(field)) for field, entry in members):
        return "has a member over limits.max_member_bytes"
    return ""


def _pair(members: list[tuple[str, Entry]]) -> tuple[tuple[Segment, ...], str]:
    images = [entry for field, entry in members if field in IMAGES]
    texts = [entry for field, entry in members if field == "txt"]
    if len(images) != 1 or len(texts) != 1:
        return (), f"has {len(images)} images and {len(texts)} texts, not one of each"
    text, fault = None, ""
    try:
        text = (texts[0].data or b"").decode("utf-8")
    except UnicodeDecodeError:
        fault = "has a text that is not UTF-8"
    return (_image(images[0]), _text(texts[0], text)), fault


def _interleaved(key: str, members: list[tuple[str, Entry]]) -> tuple[tuple[Segment, ...], str]:
    fields = dict(members)
    counted = [field for field, _ in members if field == "json" or _is_image(field)]
    if len(set(counted)) < len(counted):
        return (), "has two members of one field"
    if "json" not in fields:
        return (), "has no json"
    index = fields["json"]
    segments: list[Segment] = []
    left = {field for field in counted if field != "json"}
    fault = ""
    places = _places(index.data or b"")
    if not places:
        return (), "has no json with a text or an image at each place"
    for text, image in places:
        if image is None:
            if any("\ud800" <= letter <= "\udfff" for letter in text or ""):
                fault = "has a text with a lone surrogate"
            segments.append(_text(index, text))
        elif image.lower() in left:
            left.remove(image.lower())
            segments.append(_image(fields[image.lower()]))
        else:
            fault = f"names the image {image}, which is not there or was named before"
            segments.append(Segment(SegmentKind.IMAGE, f"{key}.{image}", 0, 0))
    return tuple(segments), fault


def _places(data: bytes) -> list[tuple[str | None, str | None]]:
    """(text, image) at each place of the document, exactly one of them not None; nothing if the JSON says otherwise."""
    try:
        index: Any = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return []
    texts, images = (index.get("texts"), index.get("images")) if isinstance(index, dict) else (None, None)
    if not isinstance(texts, list) or not isinstance(images, list) or len(texts) != len(images):
        return []
    places = list(zip(texts, images, strict=True))
    is_sound = all([type(value) for value in place if value is not None] == [str] for place in places)
    return places if is_sound else []


def _image(entry: Entry) -> Segment:
    return Segment(SegmentKind.IMAGE, entry.name or "", entry.offset, entry.size, data=entry.data)


def _text(entry: Entry, text: str | None) -> Segment:
    return Segment(SegmentKind.TEXT, entry.name or "", entry.offset, entry.size, text=text)


def _is_image(field: str) -> bool:
    return field.rpartition(".")[2] in IMAGES

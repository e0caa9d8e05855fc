"""The samples of a shard in order, by the rules of the output contract: which are sound, and what segments they have.

Of two members that stand together, both are of one sample if the key of one and a dot begin the name of the other;
the shorter key is the sample's, the rest of a name its field. A damage, or a member whose name gives no key, is a
sample of its own, numbered after the group it stands in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from jobs.verify.containers import walk_shard
from jobs.verify.records import LimitsSection
from jobs.verify.talk import TOO_MANY, read_talk
from jobs.verify.walk import Entry, Source
from pipeline.types import Segment, SegmentKind

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
UNSAFE = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
NUMBERED = frozenset({"interleaved", "conversations"})
"""Formats whose pictures have a number before their extension, and whose order stands in a JSON."""
MOST_WAITING = 1024
"""Damages that wait for a group to end; one more ends it."""
LONGEST_NAME = 4096
"""Bytes of a member's name in UTF-8; a longer one gives no key, and the rejects have its first characters."""


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


def read_samples(source: Source, shard: str, form: str, limits: LimitsSection) -> Iterator[Found]:
    """Every sample of a shard, from ordinal 0 on. shard: its name, which says what it is a file of."""

    def wanted(name: str, size: int) -> bool:
        own = _own_key(name, form)
        if own is None or not _counted(name, size, form, limits):
            return False
        if key is None or not (_begins(key, name) or _begins(own, last)):
            return size <= limits.max_sample_bytes
        # A field of more parts than its own key knows is never content: such bytes need no memory.
        is_compound = own != key and _begins(key, own)
        return not is_compound and not is_over and held + size <= limits.max_sample_bytes

    key: str | None = None
    last = ""
    """The name of the last member."""
    num_members, held, is_over = 0, 0, False
    members: list[Entry] = []
    odd: list[Found] = []
    ended: set[str] = set()

    def close() -> Iterator[Found]:
        if key is not None:
            if is_over:
                yield Found(key, fault="is over limits.max_sample_bytes or _members", places=_places_of(members))
            else:
                yield _to_sample(key, members, form, limits, is_split=key in ended)
            ended.add(key)
        yield from odd

    for entry in walk_shard(source, shard, wanted, limits):
        own = None if entry.name is None else _own_key(entry.name, form)
        if entry.name is None or own is None:
            odd.append(Found(f"@{entry.offset}", fault="is no member of a sample", places=_places_of([entry])))
            if key is None or len(odd) >= MOST_WAITING:
                yield from close()
                key, members, odd = None, [], []
            continue
        if key is not None and (_begins(key, entry.name) or _begins(own, last)):
            key = min(key, own, key=len)
        else:
            yield from close()
            key, members, odd = own, [], []
            num_members, held, is_over = 0, 0, False
        last = entry.name
        num_members += 1
        held += entry.size if _counted(last, entry.size, form, limits) else 0
        # Of what is too large in all, the one member that made it so is the place, and nothing else is kept.
        if not is_over:
            members.append(entry)
            is_over = num_members > limits.max_sample_members or held > limits.max_sample_bytes
            members = [replace(entry, data=None)] if is_over else members
    yield from close()


def _counted(name: str, size: int, form: str, limits: LimitsSection) -> bool:
    """Whether a member is content that is not too large by itself."""
    is_picture = name.rpartition(".")[2].lower() in IMAGES
    is_small = size <= limits.max_member_bytes and (is_picture or size <= limits.max_text_bytes)
    return is_small and _is_content(name, form)


def _begins(key: str, name: str) -> bool:
    """Whether a member of this name would have a field in a sample of this key."""
    return name.startswith(f"{key}.") and "/" not in name[len(key) :]


def _own_key(name: str, form: str) -> str | None:
    """The key of a member alone; None without an extension, for hidden files, names not UTF-8, and names too long."""
    if any("\ud800" <= letter <= "\udfff" for letter in name) or len(name.encode()) > LONGEST_NAME:
        return None
    base = name.rsplit("/", 1)[-1]
    stem, dot, extension = base.rpartition(".")
    if not dot or not stem or not extension or base.startswith("."):
        return None
    key = name[: -len(extension) - 1]
    outer, _, number = key.rpartition(".")
    return outer if outer and form in NUMBERED and _is_numbered(f"{number}.{extension.lower()}") else key


def _to_sample(key: str, entries: list[Entry], form: str, limits: LimitsSection, *, is_split: bool) -> Found:
    members = [((entry.name or "")[len(key) + 1 :].lower(), entry) for entry in entries]
    places = _places_of(entries)
    fault = "stands apart from other members of its key" if is_split else _member_fault(members, form)
    segments: tuple[Segment, ...] = ()
    if not fault:
        read = {"interleaved": _interleaved, "conversations": _conversation, "pairs": _pair}[form]
        segments, fault = read(key, members, limits.max_sample_members)
    if not segments:
        return Found(key, fault=fault, places=places)
    num_used = 1 + sum(segment.data is not None for segment in segments)
    return Found(key, segments, fault, len(members) - num_used, places)


def _places_of(entries: Iterable[Entry]) -> frozenset[tuple[str, int, int]]:
    return frozenset((as_utf8(entry.name or "")[:LONGEST_NAME], entry.offset, entry.size) for entry in entries)


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
    content = [(field, entry) for field, entry in members if _is_content(field, form)]
    for field, entry in content:
        if "." in field and not (form in NUMBERED and _is_numbered(field)):
            return f"has the member {entry.name} beside those of its key"
    if any(entry.data is None for _, entry in content):
        return "has a member over limits.max_member_bytes or a text over limits.max_text_bytes"
    return ""


def _pair(_: str, members: list[tuple[str, Entry]], __: int) -> tuple[tuple[Segment, ...], str]:
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


def _interleaved(key: str, members: list[tuple[str, Entry]], most: int) -> tuple[tuple[Segment, ...], str]:
    fields = dict(members)
    counted = [field for field, _ in members if _is_content(field, "interleaved")]
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
    if len(places) > most:
        return (), TOO_MANY
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


def _conversation(key: str, members: list[tuple[str, Entry]], most: int) -> tuple[tuple[Segment, ...], str]:
    indexes = [entry for field, entry in members if field == "json"]
    numbered = [
        (int(field.partition(".")[0]) if _is_numbered(field) else 0, entry)
        for field, entry in members
        if field.rpartition(".")[2] in IMAGES
    ]
    if len({number for number, _ in numbered}) < len(numbered) or len(indexes) != 1:
        return (), "has two members of one field, or no json"
    return read_talk(key, indexes[0], dict(numbered), most)


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


def _is_content(name: str, form: str) -> bool:
    """Whether the format asks for members that end so."""
    last = name.rpartition(".")[2].lower()
    return last in IMAGES or last == ("json" if form in NUMBERED else "txt")


def _is_numbered(field: str) -> bool:
    """Whether a field is that of a picture in a document: `0.png`."""
    number, _, extension = field.partition(".")
    return number.isascii() and number.isdigit() and extension in IMAGES

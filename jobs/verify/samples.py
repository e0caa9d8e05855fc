"""The samples of a shard in order, by the rules of the output contract: which are sound, and what segments they have.

Of two members that stand together, both are of one sample if the key of one and a dot begin the name of the other;
the shorter key is the sample's, the rest of a name its field. A damage, or a member whose name gives no key, is a
sample of its own, numbered after the group it stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from jobs.verify.containers import walk_shard
from jobs.verify.layouts import LAYOUTS, Layout
from jobs.verify.layouts.mmc4 import spans
from jobs.verify.layouts.names import IMAGES
from jobs.verify.records import LimitsSection
from jobs.verify.walk import Entry, Source
from pipeline.types import Segment

UNSAFE = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
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
    layout = LAYOUTS[form]

    def wanted(name: str, size: int) -> bool:
        own = _own_key(name, layout)
        if own is None or not _counted(name, size, layout, limits):
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
                yield _to_sample(key, members, layout, limits, is_split=key in ended)
            ended.add(key)
        yield from odd

    for entry in walk_shard(source, shard, wanted, limits):
        own = None if entry.name is None else _own_key(entry.name, layout)
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
        held += entry.size if _counted(last, entry.size, layout, limits) else 0
        # Of what is too large in all, the one member that made it so is the place, and nothing else is kept.
        if not is_over:
            members.append(entry)
            is_over = num_members > limits.max_sample_members or held > limits.max_sample_bytes
            members = [replace(entry, data=None)] if is_over else members
    yield from close()


def _counted(name: str, size: int, layout: Layout, limits: LimitsSection) -> bool:
    """Whether a member is content that is not too large by itself."""
    split = layout.split(name)
    if split is None or not layout.counts(split[1]) or size > limits.max_member_bytes:
        return False
    return split[1].rpartition(".")[2] in IMAGES or layout.is_album or size <= limits.max_text_bytes


def _begins(key: str, name: str) -> bool:
    """Whether a member of this name would have a field in a sample of this key."""
    return name.startswith(f"{key}.") and "/" not in name[len(key) :]


def _own_key(name: str, layout: Layout) -> str | None:
    """The key of a member alone; None without an extension, for hidden files, names not UTF-8, and names too long."""
    if any("\ud800" <= letter <= "\udfff" for letter in name) or len(name.encode()) > LONGEST_NAME:
        return None
    split = layout.split(name)
    return None if split is None else split[0]


def _to_sample(key: str, entries: list[Entry], layout: Layout, limits: LimitsSection, *, is_split: bool) -> Found:
    splits = [(layout.split(entry.name or "") or ("", ""), entry) for entry in entries]
    members = [(field, entry) for (own, field), entry in splits if own == key]
    places = _places_of(entries)
    fault = "stands apart from other members of its key" if is_split else _member_fault(entries)
    fault = fault or _content_fault(key, entries, layout, limits)
    segments: tuple[Segment, ...] = ()
    if not fault:
        segments, fault = layout.read(key, members, limits.max_sample_members)
    if not segments:
        return Found(key, fault=fault, places=places)
    shown = [segment for segment in segments if segment.data is not None]
    places |= {(as_utf8(one.member)[:LONGEST_NAME], one.offset, one.size) for one in shown}
    num_used = 1 + sum(segment.encoding is None for segment in shown)
    return Found(key, segments, fault, len(entries) - num_used, places)


def _places_of(entries: Iterable[Entry]) -> frozenset[tuple[str, int, int]]:
    return frozenset((as_utf8(entry.name or "")[:LONGEST_NAME], entry.offset, entry.size) for entry in entries)


def as_utf8(name: str) -> str:
    """A name as the rejects have it: what is not Unicode is escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _member_fault(entries: list[Entry]) -> str:
    """Why no format may accept such members, or nothing."""
    names = [entry.name or "" for entry in entries]
    if len(set(names)) < len(names):
        return "has two members of one name"
    if any(name.rpartition(".")[2].lower() in UNSAFE for name in names):
        return "has a member that may run code"
    return ""


def _content_fault(key: str, entries: list[Entry], layout: Layout, limits: LimitsSection) -> str:
    """What is wrong with the members that the format asks for, whatever they say."""
    for entry in entries:
        own, field = layout.split(entry.name or "") or ("", "")
        if not layout.counts(field) or field in layout.spare:
            continue
        if own != key:
            return f"has the member {entry.name} beside those of its key"
        data = entry.data
        is_album = layout.is_album and field == "json"
        text_bytes = len(data or b"") - sum(end - start for start, end in spans(data or b"")) if is_album else 0
        if data is None or text_bytes > limits.max_text_bytes:
            return "has a member over limits.max_member_bytes or a text over limits.max_text_bytes"
    return ""

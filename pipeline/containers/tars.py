"""A tar: members that stand together are one sample where `join_keys` gives them one key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pipeline.containers.groups import Group, fits, split_name, to_rejected
from pipeline.formats import Format
from pipeline.formats.fields import join_keys
from pipeline.tar import Member, scan_tar
from pipeline.tar_stream import HashingReader
from pipeline.types import ReadLimits, Sample

MAX_WAITING = 1024
"""Damages that may wait for the sample in hand to end. More end it, so that hostile shards stay within memory."""


def read_tar(reader: HashingReader, size: int | None, form: Format, limits: ReadLimits) -> Iterator[Group | Sample]:
    """Its groups and damages, as `Groups` says."""

    def wanted(name: str, num_bytes: int) -> bool:
        split = split_name(name, form)
        if split is None or not fits(split[1], num_bytes, form, limits):
            return False
        key = None if group is None else join_keys(group.key, split[0])
        if group is None or key is None:
            return num_bytes <= limits.sample_bytes
        # What has a compound field is never content; unread, a sample of any number of them stays within memory.
        return key == split[0] and group.holds(num_bytes, limits)

    def close() -> Iterator[Group | Sample]:
        if group is not None:
            # Eight bytes whatever the key's length; a million keys collide with a chance of 3 in 1e8.
            digest = hashlib.blake2b(group.key.encode(), digest_size=8).digest()
            group.is_split = digest in ended
            ended.add(digest)
            yield group
        yield from waiting

    group: Group | None = None
    waiting: list[Sample] = []
    ended: set[bytes] = set()
    for item in scan_tar(reader, size=size, max_member_bytes=limits.member_bytes, wanted=wanted):
        split = split_name(item.name, form) if isinstance(item, Member) else None
        if isinstance(item, Member) and split is not None:
            key = None if group is None else join_keys(group.key, split[0])
            if group is None or key is None:
                yield from close()
                group, waiting = Group(split[0]), []
            else:
                group.key = key
            group.add(item, item.size if fits(split[1], item.size, form, limits) else 0, limits)
            continue
        waiting.append(to_rejected(item))
        if group is None or len(waiting) >= MAX_WAITING:
            yield from close()
            group, waiting = None, []
    yield from close()

"""Every byte of a shard is accounted for: as member, as structure, as end mark, or as damage with its place.

tarfile, and with it webdataset and ray.data, takes a damaged header, a zeroed block or the seam of two concatenated
archives for the end and stops without a word. This reader names each and goes on at the next header. Nothing in tar
checks a member's data: a flipped byte there is for the decoder to find.

Known limits: recovery looks at 512-byte blocks, so where bytes went missing in the middle the rest is damage; and a
tar stored inside a member whose header is damaged reads as members.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

from pipeline.errors import Reason
from pipeline.tar_headers import (
    BARE,
    BLOCK,
    DIRECTORY,
    EXTENSIONS,
    FILES,
    SPARSE,
    Header,
    Pending,
    padded,
    parse_header,
    read_pax,
    to_text,
    was_extension,
)
from pipeline.tar_stream import CHUNK_BYTES, HashingReader, Ledger

MAX_EXTENSION_BYTES = 1 << 20
"""Longest pax or long-name header that is read; a name needs four kilobytes."""

_NOTHING = Pending()
_ZERO = bytes(BLOCK)
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file: `offset` is its first data byte in the shard; `data` is there if it was wanted and fits."""

    name: str
    offset: int
    size: int
    data: bytes | None = field(default=None, repr=False)
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """A span of the shard that gives no member, and why. Size 0: something is missing at `offset`."""

    reason: Reason
    detail: str
    offset: int
    size: int


def scan_tar(
    stream: HashingReader, *, size: int | None, max_member_bytes: int, wanted: Callable[[str, int], bool]
) -> Iterator[Member | Damage]:
    """Members and damages in the order of their bytes, to the very end of `stream`; raises for no content at all.

    wanted: whether the data of a member of this name and size, in bytes, is to be kept.
    size: bytes of the stream where known. It saves the memory of a member that claims more than there is, and
    changes nothing else. Pax `g` headers are passed over, directories are structure.
    """
    ledger = stream.ledger
    pending = _NOTHING
    zeros = 0
    block = stream.read(BLOCK)
    if block.startswith(_COMPRESSED) and parse_header(block) is None:
        while stream.skip(CHUNK_BYTES):
            pass
        yield _damage(
            ledger, Reason.TAR_UNSUPPORTED, "the shard is compressed, not a tar; unpack it first", stream.offset
        )
        return
    while len(block) == BLOCK:
        if block == _ZERO and pending == _NOTHING:
            zeros += 1
            block = stream.read(BLOCK)
            continue
        if zeros > 1:
            ledger.book_zeros(stream.offset - BLOCK)
        header = parse_header(block)
        if header is None or zeros == 1:
            # One zero block alone ends no archive: it is a header that was zeroed.
            block, zeros, head = _resync(stream, block, _ZERO if zeros else b"")
            what = "a zeroed header" if head.startswith(_ZERO) else "no valid header where one must stand"
            pending = Pending(fault=(Reason.TAR_HEADER, what))
            if zeros or not was_extension(head, block):
                pending = _NOTHING
                yield _damage(ledger, Reason.TAR_HEADER, what, stream.offset - len(block) - zeros * BLOCK)
            continue
        zeros = 0
        if header.kind in EXTENSIONS:
            extended = _extend(stream, header, pending)
            if extended is None:
                block = b""
                break
            pending = extended
            if pending == _NOTHING:
                ledger.book_structure(stream.offset)
        else:
            if header.kind == SPARSE:
                _skip_sparse_map(stream, block)
            is_cut = yield from _read_entry(
                stream, header, pending, size=size, max_member_bytes=max_member_bytes, wanted=wanted
            )
            if is_cut:
                return
            pending = _NOTHING
        block = stream.read(BLOCK)
    if zeros > 1:
        ledger.book_zeros(stream.offset - len(block.lstrip(b"\0")))
    if zeros < 2 or block.strip(b"\0"):
        detail = f"the shard ends at byte {stream.offset} without its end mark, two blocks of zeros"
        yield _damage(ledger, Reason.TAR_TRUNCATED, detail, stream.offset)


def _damage(ledger: Ledger, reason: Reason, detail: str, end: int) -> Damage:
    """All that is not booked yet, up to `end`, as one damage."""
    start = ledger.total
    ledger.book_damage(end)
    return Damage(reason, detail, start, end - start)


def _read_entry(
    stream: HashingReader,
    header: Header,
    pending: Pending,
    *,
    size: int | None,
    max_member_bytes: int,
    wanted: Callable[[str, int], bool],
) -> Generator[Member | Damage, None, bool]:
    """Yields what the entry is, if it is more than structure; returns whether the stream ended inside its data."""
    ledger = stream.ledger
    name = header.name if pending.name is None else pending.name
    length = header.size if pending.size is None else pending.size
    fault = pending.fault
    if fault is None and header.kind not in FILES and not (header.kind == DIRECTORY and length == 0):
        kind = BARE.get(header.kind, "sparse file" if header.kind == SPARSE else f"entry of type {header.kind!r}")
        fault = (Reason.TAR_UNSUPPORTED, f"{name} is a {kind}; only regular files are read")
    if fault is not None:
        stream.skip(0 if header.kind in BARE else padded(length))
        yield _damage(ledger, *fault, stream.offset)
        return False
    if length == 0 and (header.kind == DIRECTORY or name.endswith("/")):
        ledger.book_structure(stream.offset)
        return False
    offset = stream.offset
    too_large = length > max_member_bytes
    beyond = size is not None and length > size - offset
    data = stream.read(length) if not too_large and not beyond and wanted(name, length) else None
    found = stream.skip(length) if data is None else len(data)
    if found < length:
        # A claim that no member may have is a false size more likely than a short shard; either way nothing follows.
        reason = Reason.TAR_UNSUPPORTED if too_large else Reason.TAR_TRUNCATED
        detail = f"{name} claims {length} bytes at byte {offset}, {found} are left; the rest of the shard is lost"
        yield _damage(ledger, reason, detail, stream.offset)
        return True
    ledger.book_structure(offset)
    stream.skip(padded(length) - length)
    ledger.book_member(stream.offset)
    yield Member(name, offset, length, data, too_large)
    return False


def _extend(stream: HashingReader, header: Header, pending: Pending) -> Pending | None:
    """`pending` with what the extension says added, or None if the stream ends inside it."""
    if header.size > MAX_EXTENSION_BYTES:
        stream.skip(padded(header.size))
        detail = f"an extension header of {header.size} bytes; at most {MAX_EXTENSION_BYTES} are read"
        return replace(pending, fault=(Reason.TAR_UNSUPPORTED, detail))
    data = stream.read(header.size)
    if len(data) < header.size:
        return None
    stream.skip(padded(header.size) - header.size)
    if header.kind == b"L":
        return replace(pending, name=to_text(data.partition(b"\0")[0]))
    if header.kind in (b"x", b"X"):
        return read_pax(data, pending)
    return pending


def _skip_sparse_map(stream: HashingReader, block: bytes) -> None:
    """Passes the blocks that go on with an old GNU sparse map; the byte after the last entry says if one follows."""
    more = block[482:483]
    while more not in (b"", b"\0"):
        more = stream.read(BLOCK)[504:505]


def _resync(stream: HashingReader, block: bytes, head: bytes) -> tuple[bytes, int, bytes]:
    """Reads from `block` to the next sure header: (that header, zero blocks before it, first two blocks passed).

    Sure: with checksum and magic, because six octal digits alone turn up in data. Zero blocks count from two on;
    fewer are part of the damage. At the end of the stream the header is the part of a block that is left.
    """
    zeros = 0
    while len(block) == BLOCK and not (block[257:262] == b"ustar" and parse_header(block)):
        zeros = zeros + 1 if block == _ZERO else 0
        if len(head) < 2 * BLOCK:
            head += block
        block = stream.read(BLOCK)
    return block, zeros if zeros > 1 else 0, head

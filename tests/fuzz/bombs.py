"""Small inputs that claim, unpack or make much: what memory and time a reader may not give them.

Each bomb is a run of tar blocks that stands between two sound samples, or a shard of its own. LIMITS are those of the
job that meets them, and `cap` what they allow by their declared rule.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from pipeline.types import ReadLimits

MIB = 1 << 20
MAX_PIXELS = 4_000_000
LIMITS = ReadLimits(member_bytes=8 * MIB, text_bytes=MIB, sample_bytes=16 * MIB, sample_members=1000)
PIXEL_BYTES = 16
"""Of one pixel at most: RGBA as decoded, on white as RGB, its alpha, and a copy that is turned."""
TEXT_BYTES = 400
"""Of one byte of a conversation's text at most, while it is tokenized with the characters that each token covers."""
CAPS = {
    "tar": LIMITS.sample_bytes,
    "picture": LIMITS.sample_bytes + PIXEL_BYTES * MAX_PIXELS,
    "text": LIMITS.sample_bytes + TEXT_BYTES * LIMITS.text_bytes,
}
"""Declared cap in bytes, by what the bomb is of."""
END = bytes(1024)


@dataclass(frozen=True, slots=True)
class Bomb:
    """reasons: what may become of it, `packed` among them. is_shard: it is one by itself; is_end: no sample that
    follows it in its shard can be found.
    """

    name: str
    kind: str
    chunks: Callable[[], Iterator[bytes]]
    reasons: frozenset[str]
    format: str = "pairs"
    is_shard: bool = False
    is_end: bool = False

    @property
    def cap_bytes(self) -> int:
        return CAPS[self.kind]


def entry(name: str, data: bytes, **fields: object) -> bytes:
    """Header and data of one member, padded."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def plain(width: int = 40, height: int = 30) -> Image.Image:
    picture = Image.new("RGB", (width, height), (200, 60, 20))
    picture.paste((10, 90, 250), (4, 4, 20, 20))
    return picture


def sound(key: str, form: str) -> bytes:
    """One sample that any job packs."""
    png, words = entry(f"{key}.0.png" if form != "pairs" else f"{key}.png", saved(plain(), "PNG")), f"A box {key}."
    if form == "pairs":
        return png + entry(f"{key}.txt", words.encode())
    index = {"texts": [words, None], "images": [None, "0.png"]}
    if form == "conversations":
        turns = [("user", "<image>What is it?"), ("assistant", words)]
        index = {"messages": [{"role": role, "content": said} for role, said in turns]}
    return entry(f"{key}.json", json.dumps(index).encode()) + png


# --- tar ----------------------------------------------------------------------------------------------------------


def packed_tar(pack: Callable[[bytes], bytes]) -> Iterator[bytes]:
    yield pack(entry("b.txt", bytes(64 * MIB)) + END)


def zstd(data: bytes) -> bytes:
    """A zstd frame of run-length blocks, which expands to `data`'s length in zeros."""
    size = 128 << 10
    blocks = [struct.pack("<I", (size << 3) | 2)[:3] + b"\0" for _ in range(len(data) // size)]
    return b"\x28\xb5\x2f\xfd" + b"\x00\x58" + b"".join(blocks) + struct.pack("<I", 1)[:3]


def with_sum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def old_sparse() -> Iterator[bytes]:
    header = bytearray(entry("b.jpg", b"", type=b"S")[:512])
    header[386:482] = b"".join(b"%011o\0" % number for number in (0, 1) * 4)
    header[483:495] = b"%011o\0" % (50 << 20)
    yield with_sum(header)


def pax(records: dict[str, str], data: bytes) -> bytes:
    info = tarfile.TarInfo("b.jpg")
    info.size, info.pax_headers = len(data), records
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def base_256() -> Iterator[bytes]:
    header = bytearray(entry("b.jpg", b""))
    header[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    yield with_sum(header)


def long_names() -> Iterator[bytes]:
    for number in range(40):
        name = (b"n" * (MIB - 20)) + b"%d" % number
        yield entry("././@LongLink", name, type=b"L") + entry("b.cls", b"")


def empty_members(count: int, name: bytes, before: bytes = b"") -> Iterator[bytes]:
    """Headers of members named by their number, which takes the place of `#` in the name, after what is `before`."""
    yield before
    place, end = name.index(b"#"), name.index(b"#") + 7
    base = bytearray(entry(name.decode().replace("#", "0" * 7), b""))
    rest = sum(base[:148]) + sum(base[156:]) + 8 * 32 - sum(base[place:end])
    for start in range(0, count, 1000):
        block = bytearray()
        for number in range(start, min(start + 1000, count)):
            digits = b"%07d" % number
            base[place:end] = digits
            base[148:156] = b"%06o\0 " % (rest + sum(digits))
            block += base
        yield bytes(block)


def large_members() -> Iterator[bytes]:
    yield entry("b.txt", b"many")
    for number in range(40):
        yield entry(f"b.{number}.jpg", bytes(7 * MIB))
    yield entry("b.jpg", bytes(7 * MIB)) + entry("b.png", bytes(7 * MIB)) + entry("b.gif", bytes(7 * MIB))


# --- pictures -----------------------------------------------------------------------------------------------------


def pair(data: bytes, extension: str = "jpg") -> Iterator[bytes]:
    yield entry(f"b.{extension}", data) + entry("b.txt", b"A picture.")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(41 * 30)))
    return b"".join([b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header), *(chunks or [pixels]), png_chunk(b"IEND", b"")])


def zeros(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes * MIB), 9)


def huge_jpeg() -> bytes:
    data = bytearray(saved(plain(), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


def scans_jpeg() -> bytes:
    """A progressive picture that says the same scan over and over; each costs a pass over all of its pixels."""
    data = saved(plain(1600, 1200), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * min(4000, 4 * MIB // (len(data) - start)) + data[-2:]


def huge_bmp() -> bytes:
    data = bytearray(saved(plain(), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    return bytes(data)


def huge_gif() -> bytes:
    data = bytearray(saved(plain(), "GIF"))
    data[6:10] = struct.pack("<HH", 65_000, 65_000)
    return bytes(data)


def frame_gif() -> bytes:
    """A screen of 40x30 whose first frame is 65,000x65,000."""
    data = bytearray(saved(plain(), "GIF"))
    place = data.index(b"\x2c\0\0\0\0") + 5
    data[place : place + 4] = struct.pack("<HH", 65_000, 65_000)
    return bytes(data)


def frames_gif() -> bytes:
    """20,000 frames of one pixel."""
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1500, 1500, 0x80, 0, 0) + bytes(6) + frame * 20_000 + b";"


def huge_webp(width: int = 16_383) -> bytes:
    data = bytearray(saved(plain(), "WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    data[place : place + 4] = struct.pack("<I", width - 1 | width - 1 << 14)
    return bytes(data)


def animated_webp() -> bytes:
    """A canvas of 16,383x16,383 with small frames."""
    data = bytearray(saved(plain(), "WEBP", save_all=True, append_images=[plain().rotate(180)] * 3, lossless=True))
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = (16_382).to_bytes(3, "little") * 2
    return bytes(data)


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, more: bytes = b"") -> bytes:
    """entries: (tag, type, count, value); `more` begins behind the only directory."""
    body = b"".join(struct.pack("<HHII", *one) for one in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", following) + more


def grey_tiff(**other: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """An uncompressed picture of 40x30 whose one strip is at byte 0; tags as t273=(type, count, value) replace its."""
    tags = {256: (3, 1, 40), 257: (3, 1, 30), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {273: (4, 1, 0), 277: (3, 1, 1), 278: (3, 1, 30), 279: (4, 1, 1200)}
    tags |= {int(name[1:]): value for name, value in other.items()}
    return [(tag, *value) for tag, value in tags.items()]


def huge_tiff() -> bytes:
    return tiff(grey_tiff(t256=(4, 1, 65_000), t257=(4, 1, 65_000)), more=bytes(2000))


def strips_tiff() -> bytes:
    """Says that it has 2^30 strips, whose offsets are not there."""
    return tiff(grey_tiff(t273=(4, 1 << 30, 200), t279=(4, 1 << 30, 200)), more=bytes(2000))


def many_strips_tiff() -> bytes:
    """A million strips that are there, all at one place."""
    offsets = struct.pack("<I", 8) * 1_000_000
    return tiff(grey_tiff(t273=(4, 1_000_000, 134), t279=(4, 1_000_000, 134), t278=(3, 1, 1)), more=offsets)


def looping_tiff() -> bytes:
    """The next directory is the first one, and so are its SubIFD and its EXIF."""
    return tiff(grey_tiff(t330=(4, 1, 8), t34665=(4, 1, 8), t34853=(4, 1, 8)), following=8, more=bytes(2000))


def exif_jpeg() -> bytes:
    """EXIF whose one tag has 2^29 values."""
    body = b"Exif\0\0" + tiff([(274, 3, 1 << 29, 60), (271, 2, 0xFFFFFFFF, 8)], following=8, more=bytes(60_000))
    return saved(plain(), "JPEG", exif=body)


def foreign(kind: str) -> bytes:
    """Formats that nobody asks for, with the name of a JPEG."""
    return {
        "fits": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(2800),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(60),
    }[kind]


# --- text ---------------------------------------------------------------------------------------------------------


def caption(data: bytes) -> Iterator[bytes]:
    yield entry("b.jpg", saved(plain(), "JPEG")) + entry("b.txt", data)


def index(data: bytes) -> Iterator[bytes]:
    yield entry("b.json", data) + entry("b.0.png", saved(plain(), "PNG"))


def turns(*said: str) -> bytes:
    roles = ("user", "assistant")
    return json.dumps({"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]}).encode()


def filled(piece: bytes, around: bytes = b'{"texts": ["a"], "images": [null], "x": [#1]}') -> bytes:
    """A JSON of just under the limit of texts, filled with `piece`."""
    before, after = around.split(b"#")
    return before + piece * ((LIMITS.text_bytes - len(around)) // len(piece)) + after


TAR = frozenset({"tar-unsupported"})
LARGE = frozenset({"image-too-large"})
DAMAGED = frozenset({"decode-error"})
FOREIGN = frozenset({"format-not-allowed"})
TOO_MUCH = frozenset({"sample-too-large"})
TEXT = frozenset({"text-too-large"})
INVALID = frozenset({"field-invalid"})
PACKED = frozenset({"packed"})
TALK, PAGES = "conversations", "interleaved"


def bombs(empty: int = 1_000_000) -> list[Bomb]:
    """All of them. empty: members of the sample that has nothing but empty ones."""
    picture, text = "picture", "text"
    return [
        Bomb("gzip named .tar", "tar", lambda: packed_tar(gzip.compress), TAR, is_shard=True),
        Bomb("xz named .tar", "tar", lambda: packed_tar(lzma.compress), TAR, is_shard=True),
        Bomb("zstd named .tar", "tar", lambda: packed_tar(zstd), TAR, is_shard=True),
        Bomb("old GNU sparse file of 50 MB", "tar", old_sparse, TAR),
        Bomb(
            "pax sparse file of 8 GB",
            "tar",
            lambda: iter([pax({"GNU.sparse.major": "1", "GNU.sparse.realsize": "8589934592"}, b"x")]),
            TAR,
        ),
        Bomb("pax size of 8 GB", "tar", lambda: iter([pax({"size": str(8 << 30)}, b"")]), TAR, is_end=True),
        Bomb("base-256 size of 2^60", "tar", base_256, TAR, is_end=True),
        Bomb("40 names of 1 MiB", "tar", long_names, frozenset({"name-invalid"})),
        Bomb(
            f"{empty:,} empty members in a sample",
            "tar",
            lambda: empty_members(empty, b"b.#.cls", entry("b.jpg", b"x")),
            TOO_MUCH,
        ),
        Bomb(
            "20,000 samples of an empty member",
            "tar",
            lambda: empty_members(20_000, b"c.#/b.cls"),
            frozenset({"field-missing"}),
        ),
        Bomb("a sample of 43 members of 7 MiB", "tar", large_members, frozenset({"field-invalid", "sample-too-large"})),
        Bomb("PNG of 65,000x65,000", picture, lambda: pair(png(65_000, 65_000)), LARGE),
        Bomb("JPEG of 60,000x60,000", picture, lambda: pair(huge_jpeg()), LARGE),
        Bomb("BMP of 60,000x60,000", picture, lambda: pair(huge_bmp(), "bmp"), LARGE),
        Bomb("TIFF of 65,000x65,000", picture, lambda: pair(huge_tiff(), "tif"), LARGE),
        Bomb("WebP of 16,383x16,383", picture, lambda: pair(huge_webp(), "webp"), LARGE),
        Bomb("animated WebP of 16,383x16,383", picture, lambda: pair(animated_webp(), "webp"), LARGE | DAMAGED),
        Bomb("GIF of 65,000x65,000", picture, lambda: pair(huge_gif(), "gif"), LARGE),
        Bomb("GIF whose frame exceeds its screen", picture, lambda: pair(frame_gif(), "gif"), LARGE),
        Bomb("GIF of 20,000 frames", picture, lambda: pair(frames_gif(), "gif"), PACKED | DAMAGED),
        Bomb(
            "progressive JPEG of thousands of scans",
            picture,
            lambda: pair(scans_jpeg()),
            PACKED | frozenset({"decode-timeout"}),
        ),
        Bomb("TIFF of 2^30 strips that are not there", picture, lambda: pair(strips_tiff(), "tif"), DAMAGED),
        Bomb("TIFF of a million strips", picture, lambda: pair(many_strips_tiff(), "tif"), DAMAGED),
        Bomb("TIFF whose directories name each other", picture, lambda: pair(looping_tiff(), "tif"), PACKED),
        Bomb("EXIF of 2^29 values", picture, lambda: pair(exif_jpeg()), PACKED),
        Bomb(
            "iCCP of 200 MB", picture, lambda: pair(png(40, 30, png_chunk(b"iCCP", b"icc\0\0" + zeros(200)))), DAMAGED
        ),
        Bomb("zTXt of 200 MB", picture, lambda: pair(png(40, 30, png_chunk(b"zTXt", b"k\0\0" + zeros(200)))), DAMAGED),
        Bomb(
            "iTXt of 200 MB",
            picture,
            lambda: pair(png(40, 30, png_chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(200)))),
            DAMAGED,
        ),
        Bomb(
            "400 zTXt of 1 MB",
            picture,
            lambda: pair(png(40, 30, *[png_chunk(b"zTXt", b"k\0\0" + zeros(1))] * 400)),
            DAMAGED,
        ),
        Bomb(
            "PNG of 200 MB of pixels too many",
            picture,
            lambda: pair(png(40, 30, png_chunk(b"IDAT", zeros(200)))),
            PACKED,
        ),
        *(
            Bomb(f"{kind.upper()} named .jpg", picture, lambda kind=kind: pair(foreign(kind)), FOREIGN)
            for kind in ("fits", "eps", "psd")
        ),
        Bomb("caption of 50 MB", text, lambda: caption(b"a word " * 7_500_000), frozenset({"member-too-large"})),
        Bomb("caption of 5 MB", text, lambda: caption(b"a word " * 750_000), TEXT),
        Bomb(
            "longest caption without a space", text, lambda: caption(b"a" * LIMITS.text_bytes), frozenset({"too-long"})
        ),
        Bomb(
            "JSON of 50 MB",
            text,
            lambda: index(b'{"texts": ["' + b"a" * (50 << 20) + b'"], "images": [null]}'),
            frozenset({"member-too-large"}),
            PAGES,
        ),
        Bomb("JSON nested 300,000 deep", text, lambda: index(b"[" * 300_000 + b"]" * 300_000), INVALID, PAGES),
        Bomb(
            "JSON of objects nested 100,000 deep",
            text,
            lambda: index(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
            INVALID,
            PAGES,
        ),
        Bomb("JSON of empty lists", text, lambda: index(filled(b"[],")), PACKED, PAGES),
        Bomb(
            "JSON number of a million digits",
            text,
            lambda: index(b'{"texts": ' + b"9" * 1_000_000 + b"}"),
            INVALID,
            PAGES,
        ),
        Bomb(
            "JSON of 100,000 empty texts",
            text,
            lambda: index(b'{"texts": [' + b'"",' * 99_999 + b'""], "images": [' + b"null," * 99_999 + b"null]}"),
            TOO_MUCH,
            PAGES,
        ),
        Bomb("conversation of 140,000 marks", text, lambda: index(turns("<image>" * 140_000, "no")), TOO_MUCH, TALK),
        Bomb(
            "longest turn without a space",
            text,
            lambda: index(turns("<image>", "a" * (LIMITS.text_bytes - 200))),
            frozenset({"too-long"}),
            TALK,
        ),
    ]

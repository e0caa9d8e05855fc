"""Damages bytes by a seed: the same seed, number and corpus give the same bytes, whoever asks and in what order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

INTERESTING = tuple(
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for number in (0, 1, 127, 128, 255, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
    if number < 256**size
    for order in ("little", "big")
)
TOKENS = {
    "tar": (
        b"ustar\0",
        b"ustar  ",
        bytes(512),
        bytes(1024),
        b"\x80" + bytes(11),
        b"77777777777\0",
        b"././@LongLink",
        b"30 path=a/long/name/here.jpg\n",
        b"19 size=8589934592\n",
        b"22 GNU.sparse.major=1\n",
        b"x",
        b"L",
        b"S",
        b"g",
        b"5",
        b"2",
    ),
    "json": (
        b'"',
        b"\\",
        b"\\ud800",
        b"\\u0000",
        b"null",
        b"true",
        b"1e999",
        b"-0",
        b"NaN",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"texts"',
        b'"images"',
        b'"0.png"',
        b'"conversations"',
        b'"messages"',
        b'"from"',
        b'"role"',
        b'"content"',
        b"<image>",
        b'"text_list"',
        b'"image_info"',
        b'"image_base64"',
        b'"matched_text_index"',
        b'"similarity_matrix"',
        b'"step_info"',
        b'"image_path"',
        b'"caption"',
        b"\xef\xbb\xbf",
        b"\xff",
        b"9" * 5000,
        b"[" * 2000,
    ),
    "picture": (
        b"IHDR",
        b"IDAT",
        b"IEND",
        b"PLTE",
        b"tRNS",
        b"iCCP",
        b"zTXt",
        b"eXIf",
        b"acTL",
        b"fcTL",
        b"\xff\xd8",
        b"\xff\xd9",
        b"\xff\xda",
        b"\xff\xc0",
        b"\xff\xc2",
        b"\xff\xc4",
        b"\xff\xdb",
        b"\xff\xe1",
        b"Exif\0\0",
        b"II*\0",
        b"MM\0*",
        b"RIFF",
        b"WEBP",
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ANIM",
        b"ALPH",
        b"GIF89a",
        b"\x21\xf9",
        b"\x2c",
        b"BM",
    ),
    "yaml": (
        b"\n",
        b": ",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!python/object/apply:os.system ",
        b"|",
        b">",
        b"'",
        b'"',
        b"#",
        b"---\n",
        b"null",
        b"true",
        b"off",
        b"1e400",
        b".nan",
        b"2026-13-01",
        b"0x",
        b"\0",
        b"\xff",
        b"input:",
        b"sources:",
        b"limits:",
        b"\t",
        b"9" * 5000,
    ),
}
"""Pieces that mean something to a kind of input."""


def mutant(seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int, number: int) -> bytes:
    """The damaged bytes of that number: one to eight changes of one of `seeds`, at most twice the longest."""
    draw = random.Random(f"{seed} {number}")
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5, 8))):
        draw.choice(CHANGES)(data, draw, seeds, tokens)
    return bytes(data[: 2 * max(map(len, seeds))])


Change = Callable[[bytearray, random.Random, Sequence[bytes], Sequence[bytes]], None]


def _flip(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    for _number in range(draw.choice((1, 1, 4))):
        if data:
            data[_place(data, draw)] ^= 1 << draw.randrange(8)


def _byte(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    if data:
        data[_place(data, draw)] = draw.randrange(256)


def _integer(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    value, place = draw.choice(INTERESTING), _place(data, draw)
    data[place : place + len(value)] = value


def _token(data: bytearray, draw: random.Random, _: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    token, place = draw.choice(tokens), _place(data, draw)
    data[place : place + draw.choice((0, len(token)))] = token


def _cut(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    del data[_place(data, draw) :]


def _drop(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    place = _place(data, draw)
    del data[place : place + _length(draw)]


def _repeat(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    place = _place(data, draw)
    data[place:place] = data[place : place + _length(draw)] * draw.choice((1, 1, 2, 30))


def _splice(data: bytearray, draw: random.Random, seeds: Sequence[bytes], _: Sequence[bytes]) -> None:
    other, length = draw.choice(seeds), _length(draw)
    place, start = _place(data, draw), draw.randrange(len(other) + 1)
    data[place : place + draw.choice((0, length))] = other[start : start + length]


def _noise(data: bytearray, draw: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    place, length = _place(data, draw), draw.randrange(1, 40)
    data[place : place + length] = draw.randbytes(length)


def _place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, or in the first 600 bytes, where headers are."""
    return draw.randrange(max(1, draw.choice((len(data), min(len(data), 600)))))


def _length(draw: random.Random) -> int:
    return draw.choice((1, 2, 4, 16, 100, 512, 513, 1024))


CHANGES: tuple[Change, ...] = (_flip, _flip, _byte, _integer, _token, _cut, _drop, _repeat, _splice, _noise)

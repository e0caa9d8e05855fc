"""MMC4 documents: sentences and the pictures before them, which may stand in the JSON itself, in base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from jobs.verify.layouts.matching import match, texts_of
from jobs.verify.layouts.parts import (
    SURROGATE,
    TOO_MANY,
    Album,
    Items,
    Said,
    image,
    is_broken,
    one_json,
    read_object,
    text,
)
from jobs.verify.walk import Entry
from pipeline.types import Segment, SegmentKind

NAME = b'"image_base64"'
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def spans(data: bytes) -> list[tuple[int, int]]:
    """First byte and one past the last of the base64 of each picture in a JSON."""
    found: list[tuple[int, int]] = []
    place = data.find(NAME)
    while place >= 0:
        start = _skip(data, place + len(NAME))
        end = -1
        if data[start : start + 1] == b":":
            start = _skip(data, start + 1) + 1
            end = data.find(b'"', start) if data[start - 1 : start] == b'"' else -1
        is_code = end > start and _is_code(data[start:end])
        if is_code:
            found.append((start, end))
        place = data.find(NAME, end + 1 if is_code else place + 1)
    return found


def read_mmc4(key: str, items: Items, most: int) -> Said:
    index = one_json(items)
    if index is None:
        return (), "has no json, or two"
    data = index.data or b""
    places = spans(data)
    borders = [0, *(border for span in places for border in span), len(data)]
    pieces = [data[borders[i] : borders[i + 1]] for i in range(0, len(borders), 2)]
    found = read_object(b"".join(piece + b"%d" % i for i, piece in enumerate(pieces[:-1])) + pieces[-1])
    texts = texts_of((found or {}).get("text_list"))
    infos = (found or {}).get("image_info")
    infos = [] if infos is None else infos
    if not texts or not isinstance(infos, list) or not all(map(_is_info, infos)):
        return (), "has no json with text_list and image_info"
    if len(texts) + len(infos) > most:
        return (), TOO_MANY
    given = [info.get("matched_text_index") for info in infos]
    matched = match(given, (found or {}).get("similarity_matrix"), len(infos), len(texts))
    album = Album(key, items)
    if matched is None or not album.is_sound:
        return (), "has images that belong to no sentence, or two of one name"
    left = dict(enumerate(places))
    segments: list[Segment] = []
    fault = SURROGATE if any(map(is_broken, texts)) else ""
    for number, said in enumerate(texts):
        for place in matched.get(number, ()):
            code, name = infos[place].get("image_base64"), infos[place].get("image_name")
            if code:
                segment = _carried(index, place, left.pop(_number(code), (0, 0)))
            else:
                segment = image(album.take(place, name), f"{key}.{name or f'{place}.jpg'}")
            fault = fault if segment.data is not None else f"has no picture {place}"
            segments.append(segment)
        segments.append(text(index, said))
    return tuple(segments), fault


def _carried(index: Entry, place: int, span: tuple[int, int]) -> Segment:
    """The picture at a place of the JSON; without data if there is none."""
    name = f"{index.name}#/image_info/{place}/image_base64"
    start, end = span
    try:
        data = base64.b64decode((index.data or b"")[start:end], validate=True)
    except binascii.Error:
        data = b""
    if not data:
        return Segment(SegmentKind.IMAGE, name, 0, 0)
    return Segment(SegmentKind.IMAGE, name, index.offset + start, end - start, data=data, encoding="base64")


def _number(code: Any) -> int:
    is_number = isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 9
    return int(code) if is_number else -1


def _is_info(info: Any) -> bool:
    return isinstance(info, dict) and isinstance(info.get("image_name") or "", str)


def _is_code(found: bytes) -> bool:
    body = found.rstrip(b"=")
    return bool(body) and len(found) - len(body) <= 2 and not body.translate(None, LETTERS)


def _skip(data: bytes, place: int) -> int:
    """The first place from that on that is no white space."""
    while data[place : place + 1] in {b" ", b"\t", b"\r", b"\n"}:
        place += 1
    return place

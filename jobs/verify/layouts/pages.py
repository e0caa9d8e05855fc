"""Documents of two parallel lists, texts and images; and Energon's, where a matrix may say what belongs together."""

from __future__ import annotations

import json
from typing import Any

from jobs.verify.layouts.matching import match, texts_of
from jobs.verify.layouts.names import IMAGES
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
from pipeline.types import Segment


def read_pages(key: str, items: Items, most: int) -> Said:
    fields = dict(items)
    counted = [field for field, _ in items if field == "json" or field.rpartition(".")[2] in IMAGES]
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
    for said, name in places:
        if name is None:
            fault = SURROGATE if is_broken(said or "") else fault
            segments.append(text(index, said))
        elif name.lower() in left:
            left.remove(name.lower())
            segments.append(image(fields[name.lower()]))
        else:
            fault = f"names the image {name}, which is not there or was named before"
            segments.append(image(None, f"{key}.{name}"))
    return tuple(segments), fault


def read_similar(key: str, items: Items, most: int) -> Said:
    """Energon's: pages, unless the JSON has a matrix or the matches themselves."""
    index = one_json(items)
    found = None if index is None else read_object(index.data)
    if index is None or found is None:
        return (), "has no json with an object, or two"
    given, matrix = found.get("matched_text_indices"), found.get("similarity_matrix")
    if given is None and matrix is None:
        return read_pages(key, items, most)
    texts, names = texts_of(found.get("texts")), found.get("images")
    album = Album(key, items)
    if not texts or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return (), "has no json with a list of texts and one of names"
    if len(texts) + len(names) > most:
        return (), TOO_MANY
    matched = match([None] * len(names) if given is None else given, matrix, len(names), len(texts))
    if matched is None or not album.is_sound:
        return (), "has images that belong to no text, or two of one name"
    segments: list[Segment] = []
    fault = SURROGATE if any(map(is_broken, texts)) else ""
    for number, said in enumerate(texts):
        for name in (names[i] for i in matched.get(number, ())):
            picture = album.take(None, name)
            fault = fault if picture else f"names the image {name}, which is not there or was named before"
            segments.append(image(picture, f"{key}.{name}"))
        segments.append(text(index, said))
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

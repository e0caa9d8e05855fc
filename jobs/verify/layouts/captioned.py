"""Samples of one text: with one picture, with frames, or alone."""

from __future__ import annotations

from jobs.verify.layouts.names import IMAGES
from jobs.verify.layouts.parts import SURROGATE, TOO_MANY, Items, Said, image, is_broken, read_object, text
from jobs.verify.walk import Entry
from pipeline.types import Segment


def read_pair(_: str, items: Items, __: int) -> Said:
    images = [entry for field, entry in items if field in IMAGES]
    words, fault = _words(items, "caption")
    if len(images) != 1 or words is None:
        return (), f"has {len(images)} images, one expected" if len(images) != 1 else fault
    return (image(images[0]), words), fault


def read_plain(_: str, items: Items, __: int) -> Said:
    words, fault = _words(items, "text")
    if words is None or any(field in IMAGES for field, _ in items):
        return (), fault or "has a picture, and its format none"
    return (words,), fault


def read_frames(key: str, items: Items, most: int) -> Said:
    pictures = [(field, entry) for field, entry in items if field.rpartition(".")[2] in IMAGES]
    if not pictures or any("." not in field for field, _ in pictures):
        return (), "has no frames, or one without a number"
    frames: dict[int, Entry] = {int(field.partition(".")[0]): entry for field, entry in pictures}
    words, fault = _words(items, "caption")
    if len(frames) < len(pictures) or len(frames) + 1 > most or words is None:
        return (), fault or "has two frames of one number, or too many" if len(frames) < most else TOO_MANY
    start = 0 if 0 in frames else 1
    numbers = range(start, start + len(frames))
    if set(numbers) != set(frames):
        fault = "has a gap among its frames"
    return (*(image(frames.get(number), f"{key}.{number:03d}") for number in numbers), words), fault


def _words(items: Items, name: str) -> tuple[Segment | None, str]:
    """The text of a txt or, without one, of that name in the json; and what is wrong with it. None: there is none."""
    found = [entry for field, entry in items if field == "txt"]
    if len(found) == 1:
        try:
            return text(found[0], (found[0].data or b"").decode("utf-8")), ""
        except UnicodeDecodeError:
            return text(found[0], None), "has a text that is not UTF-8"
    indexes = [entry for field, entry in items if field == "json"]
    if found or len(indexes) != 1:
        return None, "has no text, or two"
    said = (read_object(indexes[0].data) or {}).get(name)
    if not isinstance(said, str):
        return None, f"has no txt, and no {name} in its json"
    return text(indexes[0], said), SURROGATE if is_broken(said) else ""

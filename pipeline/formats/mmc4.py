"""MMC4 documents: `KEY.json` with sentences and pictures, the pictures in it (OpenFlamingo's shards) or beside it.

The JSON is {"text_list": ["…"], "image_info": [{"image_name": "…", "image_base64": "…", "matched_text_index": 0,
"matched_sim": 0.3}], "similarity_matrix": [[…]]}. A picture without base64 is the member `KEY.IMAGE_NAME` or, counted
from 0, `KEY.N.jpg`. Each stands before the sentence that it belongs to, several of one in the order of the list: that
which `matched_text_index` gives or, where it is missing, the greatest linear sum assignment of similarity_matrix.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import Any

from pipeline.formats.assignment import sentences_of
from pipeline.formats.carried import cut_pictures
from pipeline.formats.draft import Draft, Pictures, only_json
from pipeline.formats.fields import (
    IMAGE_FIELDS,
    NOTHING,
    extension_of,
    invalid,
    read_object,
    split_first_dot,
    to_json,
    too_many,
)
from pipeline.tar import Member
from pipeline.types import Sample, Segment, SegmentKind

BASE64 = "base64"


class Mmc4:
    """One document of at least one sentence. Keys have no dot."""

    name = "mmc4"
    marks = "has text_list"
    optional = NOTHING
    json_has_pictures = True

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_first_dot(member_name)

    def wanted(self, field: str) -> bool:
        return field == "json" or extension_of(field) in IMAGE_FIELDS

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        index = only_json(key, members, self.split_name, "the sentences")
        text, ranges = cut_pictures(index.data or b"")
        found = read_object(index, text)
        sentences = read_sentences(index, found.get("text_list"), "text_list")
        images = _read_images(index, found.get("image_info"))
        if len(sentences) + len(images) > max_segments:
            raise too_many(index, len(sentences) + len(images), max_segments)
        given = [image.get("matched_text_index") for image in images]
        matched = sentences_of(index, given, found.get("similarity_matrix"), len(sentences))
        carried = _Carried(index, ranges)
        pictures = Pictures(key, members, self.split_name)
        draft = Draft(key)
        shown: dict[int, list[int]] = {}
        for place, number in enumerate(matched):
            shown.setdefault(number, []).append(place)
        for number, sentence in enumerate(sentences):
            for place in shown.get(number, ()):
                name, code = images[place].get("image_name"), images[place].get("image_base64")
                similarity = _similarity(images[place].get("matched_sim"))
                if code:
                    draft.add(replace(carried.picture(place, code, draft), similarity=similarity))
                else:
                    draft.add_picture(pictures.take(place, name), name or f"{place}.jpg", index, similarity=similarity)
            draft.add_text(index, sentence, f"sentence {number}")
        return draft.finish(len(members))

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        """Every picture gets the number of its sentence; what was in the JSON is there again."""
        sentences: list[str | None] = []
        infos: list[dict[str, Any]] = []
        members: list[tuple[str, bytes]] = []
        for segment in document.segments:
            if segment.kind == SegmentKind.TEXT:
                sentences.append(segment.text)
                continue
            info: dict[str, Any] = {"matched_text_index": len(sentences)}
            if segment.similarity is not None:
                info["matched_sim"] = segment.similarity
            if segment.encoding == BASE64:
                info["image_name"] = f"{len(infos)}.jpg"
                info["image_base64"] = base64.b64encode(segment.data or b"").decode()
            else:
                info["image_name"] = f"{len(infos)}.{extension_of(segment.member)}"
                members.append((f"{document.key}.{info['image_name']}", segment.data or b""))
            infos.append(info)
        index = to_json({"text_list": sentences, "image_info": infos})
        return [(f"{document.key}.json", index), *members]


def _similarity(found: Any) -> float | None:
    """A cosine; None for anything else, which is as good as none."""
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and -1 <= found <= 1 else None


class _Carried:
    """The pictures in a JSON, each for one place."""

    def __init__(self, index: Member, ranges: list[tuple[int, int]]) -> None:
        self._index, self._left = index, dict(enumerate(ranges))

    def picture(self, place: int, code: Any, draft: Draft) -> Segment:
        """The segment of a picture by the number that stands for it; one without data, and an error, if it is none."""
        index = self._index
        name = f"{index.name}#/image_info/{place}/image_base64"
        is_number = isinstance(code, str) and re.fullmatch("[0-9]{1,9}", code)
        start, end = self._left.pop(int(code), (0, 0)) if is_number else (0, 0)
        try:
            data = base64.b64decode((index.data or b"")[start:end], validate=True)
        except binascii.Error:
            data = b""
        if not data:
            detail = f"image_base64 of image {place} of {index.name} is not written as base64, without escapes (\\/)"
            draft.fail(invalid(index, detail))
            return Segment(SegmentKind.IMAGE, name, 0, 0)
        return Segment(SegmentKind.IMAGE, name, index.offset + start, end - start, data=data, encoding=BASE64)


def read_sentences(index: Member, found: Any, name: str) -> list[str]:
    """A list of at least one text. InputError if it is something else."""
    if not isinstance(found, list) or not found:
        raise invalid(index, f"{name} of {index.name} must be a list of at least one text")
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise invalid(index, f"{name} of {index.name} has no text at place {place}")
    return found


def _read_images(index: Member, found: Any) -> list[dict[str, Any]]:
    images = [] if found is None else found
    if not isinstance(images, list):
        raise invalid(index, f"image_info of {index.name} must be a list")
    for place, image in enumerate(images):
        if not isinstance(image, dict) or not isinstance(image.get("image_name") or "", str):
            raise invalid(index, f"image_info of {index.name} has no object with image_name at place {place}")
    return images

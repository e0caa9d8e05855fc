"""Energon's interleaved documents, in the layout that its documentation has for a sample loader or a cooker.

`KEY.json` is {"texts": [str | null], "images": ["2345ew.jpg" | null]}, two lists of one length, at each place exactly
one of them not null, and `KEY.2345ew.jpg` … are the pictures, by any name: what follows the first dot of a member's
name is its field. That is `interleaved` but for the names, which there are numbers.

With the fields of its SimilarityInterleavedSample, {"texts": ["…"], "images": ["…"], "matched_text_indices": [0] or
"similarity_matrix": [[…]]}, both lists are whole and each picture stands before the text that it belongs to, as in
`mmc4`. Energon's captioning is `pairs`, its text samples are `text`; what `lodepack export` writes are packs, no
documents.
"""

from __future__ import annotations

from pipeline.formats.assignment import sentences_of
from pipeline.formats.draft import Draft, Pictures, only_json
from pipeline.formats.fields import (
    invalid,
    read_object,
    split_first_dot,
    too_many,
)
from pipeline.formats.interleaved import Interleaved
from pipeline.formats.mmc4 import read_sentences
from pipeline.tar import Member
from pipeline.types import Sample

MATCHES = ("matched_text_indices", "similarity_matrix")


class Energon(Interleaved):
    """One document of any number of texts and images. Keys have no dot."""

    name = "energon"

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        return split_first_dot(member_name)

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        index = only_json(key, members, self.split_name, "the order of texts and images")
        found = read_object(index)
        if all(found.get(name) is None for name in MATCHES):
            return super().to_sample(key, members, max_segments)
        texts, images = read_sentences(index, found.get("texts"), "texts"), found.get("images")
        if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
            raise invalid(index, f"images of {index.name} must be a list of names")
        if len(texts) + len(images) > max_segments:
            raise too_many(index, len(texts) + len(images), max_segments)
        given = found.get(MATCHES[0])
        given = [None] * len(images) if given is None else given
        if not isinstance(given, list) or len(given) != len(images):
            raise invalid(index, f"{MATCHES[0]} of {index.name} must be a list of one number an image")
        matched = sentences_of(index, given, found.get(MATCHES[1]), len(texts))
        pictures = Pictures(key, members, self.split_name)
        draft = Draft(key)
        shown: dict[int, list[str]] = {}
        for number, name in zip(matched, images, strict=True):
            shown.setdefault(number, []).append(name)
        for number, text in enumerate(texts):
            for name in shown.get(number, ()):
                draft.add_picture(pictures.take(-1, name), name, index)
            draft.add_text(index, text, f"text {number}")
        return draft.finish(len(members))

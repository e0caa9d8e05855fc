"""Finds what a unit holds twice: documents of the same texts and pictures, and pictures that too many documents share.

Equal is equal to the byte: of pictures their encoded bytes, of texts their tokens. The first in the order of the input
stays, whatever is found of it later, so that another sequence length leaves the choice as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from operators.filters import DedupConfig
from operators.layout import image_numbers
from pipeline.derived import original_of, view_of
from pipeline.errors import InputError, Reason
from pipeline.operator import Row


class Duplicates:
    """What has been seen of a unit, whose measured rows come in order."""

    def __init__(self, config: DedupConfig) -> None:
        self._config = config
        self._documents: dict[bytes, str] = {}
        self._images: Counter[bytes] = Counter()
        self._refused: dict[tuple[str, int], tuple[Reason, str]] = {}
        """Of samples that were read, by shard and ordinal, reason and detail."""

    def admit(self, row: Row) -> None:
        """InputError for a document that has been there, or an image that as many documents have as may.

        A derived sample, which comes behind its original, is admitted where that was, whatever it shows.
        """
        original = (row["shard"], original_of(row["ordinal"]))
        if view_of(row["ordinal"]):
            if original in self._refused:
                reason, detail = self._refused[original]
                raise InputError(reason, f"of what it was made of: {detail}")
            return
        try:
            self._admit(row)
        except InputError as error:
            self._refused[original] = (error.reason, error.detail)
            raise

    def _admit(self, row: Row) -> None:
        if self._config.documents:
            name = f"{row['shard']} {row['key']}"
            earlier = self._documents.setdefault(_digest(row), name)
            if earlier != name:
                raise InputError(Reason.FILTER_DUPLICATE_DOCUMENT, f"the same document is {earlier}")
        own = {picture["digest"] for picture in row["pictures"]}
        most = self._config.images
        if most is not None:
            for place, number in enumerate(image_numbers(row)):
                if number is not None and self._images[row["pictures"][number]["digest"]] >= most:
                    segment = row["segments"][place]
                    where = {name: segment[name] for name in ("member", "offset", "size")}
                    detail = f"{most} documents of the unit have this picture already; no more may"
                    raise InputError(Reason.FILTER_DUPLICATE_IMAGE, detail, **where, segment=place)
        self._images.update(own)


def _digest(row: Row) -> bytes:
    """Of what a document says and shows, in its order."""
    found = hashlib.blake2b(digest_size=16)
    for place, number in enumerate(image_numbers(row)):
        role = row["segments"][place]["role"]
        held = str(row["tokens"][place]).encode() if number is None else row["pictures"][number]["digest"]
        found.update(f"{role} {number is None} {len(held)} ".encode() + held)
    return found.digest()

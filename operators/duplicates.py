"""Finds what a unit holds twice: documents of the same texts and pictures, and pictures that too many documents share.

Equal is equal to the byte: of pictures their encoded bytes, of texts their tokens. The first in the order of the input
stays, whatever is found of it later, so that another sequence length leaves the choice as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa

from operators.filters import DedupConfig
from operators.layout import image_numbers
from operators.loads import offsets
from pipeline.derived import original_of, view_of
from pipeline.errors import InputError, Reason
from pipeline.operator import Row

COLUMNS = ("shard", "ordinal", "key", "segments", "pictures", "tokens")
"""What is looked at."""


def with_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Measured rows with the tokens of each text as bytes: a thousand of them are one object then."""
    place, tokens = batch.schema.get_field_index("tokens"), batch["tokens"]
    texts = tokens.flatten()
    ids = texts.flatten()
    starts = offsets(texts) * ids.type.byte_width
    data = pa.py_buffer(np.ascontiguousarray(ids.to_numpy()))
    held = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(texts), [None, pa.py_buffer(starts), data])
    lists = pa.ListArray.from_arrays(pa.array(offsets(tokens), pa.int32()), held)
    return batch.set_column(place, "tokens", lists)


class Duplicates:
    """What has been seen of a unit, whose measured rows come in order.

    Their tokens are the bytes of `with_bytes`.
    """

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
        held = row["tokens"][place] if number is None else row["pictures"][number]["digest"]
        found.update(f"{role} {number is None} {len(held)} ".encode() + held)
    return found.digest()

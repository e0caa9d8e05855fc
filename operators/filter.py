"""Drops what a job's rules find unfit: single texts and pictures of a document, or the whole of it, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from PIL import Image

from operators.filters import FILTER_VERSION
from operators.filters.document import Document, Node, Rule
from operators.filters.sift import Verdict, judge, sift
from operators.relevance.crop import crop
from operators.relevance.participatory import DualEncoder
from pipeline.ledger import FILTER
from pipeline.operator import Row, map_rows
from pipeline.schema import DECODED
from pipeline.types import DETAIL_CHARS, SegmentKind

WHOLE = np.array([[0, 0, 1, 1]], np.float32)
"""A picture's place in itself."""


class Filter:
    """Takes dropped segments and their pictures out of their documents, and rejects documents.

    A conversation is not cut: it is rejected where a document would lose a picture, and no turn of it is judged by
    itself. Rules of documents judge it as any other.
    """

    name = FILTER
    version = FILTER_VERSION

    def __init__(self, rules: Sequence[Rule], encoder: DualEncoder | None, *, keeps_smalls: bool) -> None:
        """encoder: where a rule needs one. keeps_smalls: whether anybody behind us wants the small pictures."""
        self._node_rules = [rule for rule in rules if rule.level == "node"]
        self._document_rules = [rule for rule in rules if rule.level == "document"]
        self._encoder = encoder
        self._keeps_smalls = keeps_smalls

    def __call__(self, table: pa.Table) -> pa.Table:
        return map_rows(table, DECODED, self.name, self._filtered)

    def _filtered(self, row: Row) -> Row:
        document = Document(row["key"], tuple(_nodes(row, self._encoder)))
        left, dropped = sift(document, self._node_rules)
        verdict = None
        if any(node.role is not None for node in document.nodes):
            images = {node.number for node in document.images}
            verdict = next((found for number, found in sorted(dropped.items()) if number in images), None)
            left, dropped = document, {}
        verdict = verdict or judge(left, self._document_rules)
        columns = _without(row, dropped, keeps_smalls=self._keeps_smalls)
        return columns if verdict is None else columns | _rejected(columns["segments"], verdict)


def _nodes(row: Row, encoder: DualEncoder | None) -> Iterator[Node]:
    """The segments of a row as rules see them."""
    segments = row["segments"]
    seen, said = (iter(()), iter(())) if encoder is None else _embedded(encoder, segments, row["smalls"])
    pictures, smalls = iter(row["pictures"]), iter(row["smalls"])
    for segment in segments:
        number, role = segment["number"], segment["role"]
        if segment["kind"] == SegmentKind.TEXT:
            yield Node(number, segment["text"], role, embedding=next(said, None))
            continue
        picture, small = next(pictures), next(smalls, None)
        yield Node(
            number,
            None,
            role,
            width=picture["width"],
            height=picture["height"],
            format=picture["format"],
            digest=picture["digest"],
            num_bytes=segment["size"],
            grey=None if small is None else np.frombuffer(small["grey"], np.uint8).reshape(small["height"], -1),
            colour=None if small is None else _colour(small),
            similarity=segment["similarity"],
            embedding=next(seen, None),
        )


def _colour(small: Row) -> np.ndarray:
    """Colours of a small copy, uint8 [height, width, 3]."""
    return np.frombuffer(small["colour"], np.uint8).reshape(small["colour_height"], small["colour_width"], 3)


def _embedded(
    encoder: DualEncoder, segments: Sequence[Row], smalls: Sequence[Row]
) -> tuple[Iterator[np.ndarray], Iterator[np.ndarray]]:
    """Embeddings of the pictures, each as a whole, and of the texts."""
    regions = [crop(Image.fromarray(_colour(small)), WHOLE, encoder.side) for small in smalls]
    texts = [segment["text"] for segment in segments if segment["kind"] == SegmentKind.TEXT]
    seen = encoder.seen(np.concatenate(regions), np.repeat(WHOLE, len(regions), axis=0)) if regions else ()
    return iter(seen), iter(encoder.said(texts) if texts else ())


def _without(row: Row, dropped: Mapping[int, Verdict], *, keeps_smalls: bool) -> Row:
    """The columns of a row whose document has lost the segments of these numbers."""
    images = [segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE]
    stays = [image["number"] not in dropped for image in images]
    lost = [segment for segment in row["segments"] if segment["number"] in dropped]
    return {
        "segments": [segment for segment in row["segments"] if segment["number"] not in dropped],
        "pictures": [picture for picture, kept in zip(row["pictures"], stays, strict=True) if kept],
        "smalls": [small for small, kept in zip(row["smalls"], stays, strict=False) if kept and keeps_smalls],
        "dropped": [_dropped(segment, dropped[segment["number"]]) for segment in lost],
    }


def _dropped(segment: Row, verdict: Verdict) -> Row:
    return {"segment": segment["number"]} | _place(segment) | _cause(verdict)


def _rejected(segments: Sequence[Row], verdict: Verdict) -> Row:
    """What a rejected document's columns are, its texts and pictures gone: nobody behind us has a use for them."""
    guilty = next((i for i, segment in enumerate(segments) if segment["number"] == verdict.node), None)
    where = {"member": "", "offset": 0, "size": 0} if guilty is None else _place(segments[guilty])
    return {
        "segments": [segment | {"text": None} for segment in segments],
        "pictures": [],
        "smalls": [],
        "rejection": {"operator": Filter.name, "segment": guilty} | where | _cause(verdict),
    }


def _place(segment: Row) -> Row:
    return {name: segment[name] for name in ("member", "offset", "size")}


def _cause(verdict: Verdict) -> Row:
    return {"reason": verdict.reason, "detail": verdict.detail[:DETAIL_CHARS], "rules": list(verdict.rules)}

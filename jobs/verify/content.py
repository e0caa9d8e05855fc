"""What the index says of a sample's segments, held against the texts and pictures of its shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.verify.check import Check
from jobs.verify.pixels import describe_picture
from jobs.verify.records import Placement
from jobs.verify.samples import Found
from pipeline.types import CELL, Segment, SegmentKind

Row = dict[str, Any]


def content_faults(row: Row, sample: Found, kept: Sequence[Segment], check: Check) -> Iterator[str]:
    """What the index says otherwise than the shard: order and place of segments, ids of text, size of pictures."""
    if row["id"]["key"] != sample.key:
        yield f"has the key {row['id']['key']} in the index"
    places = [(s["kind"], s["member"], s["offset"], s["size"], s["role"]) for s in row["segments"]]
    segments = _placed(kept, check.recipe.job.placement)
    expected = [(int(s.kind), s.member, s.offset, s.size, s.role) for s in segments]
    if places != expected:
        wrong = next(
            (i for i, pair in enumerate(zip(places, expected, strict=False)) if pair[0] != pair[1]), len(expected)
        )
        yield f"has other segments in the index than in its shard, from segment {wrong} on"
        return
    ids, labels = check.text.encode(segments)
    is_first = True
    for i, (segment, found) in enumerate(zip(row["segments"], segments, strict=True)):
        if found.kind == SegmentKind.TEXT:
            if segment["ids"] != ids[i]:
                yield f"segment {i} has other ids in the index than the tokenizer gives for its text"
            skipped = 1 if found.role is not None and is_first else 0
            if found.role is not None and segment["labels"] != [-100] * min(skipped, len(ids[i])) + labels[i][skipped:]:
                yield f"segment {i} has other labels in the index than its turn has"
            is_first = is_first and not ids[i]
            continue
        is_first = False
        if segment["digest"] != hashlib.blake2b(found.data or b"", digest_size=16).digest():
            yield f"segment {i} has another digest in the index than its picture"
        encoding = found.encoding or (CELL if row["id"]["shard"].lower().endswith(".parquet") else None)
        if segment["encoding"] != encoding:
            yield f"segment {i} has the encoding {segment['encoding']} in the index; {encoding} expected"
        picture = describe_picture(found.data or b"")
        plan = segment["plan"]
        if picture != (segment["format"], plan["width"], plan["height"]):
            planned = f"{segment['format']} of {plan['width']}x{plan['height']}"
            yield f"segment {i} is planned as a {planned}; the shard has a {picture[0]} of {picture[1]}x{picture[2]}"


def _placed(segments: Sequence[Segment], placement: Placement) -> list[Segment]:
    """The segments in the order that the job asks for: pictures before or after the texts that they belong to."""
    if placement.images == "interleaved" or any(segment.role is not None for segment in segments):
        return list(segments)
    per_window = placement.window_texts if placement.images == "window" else len(segments)
    num_texts = sum(segment.kind == SegmentKind.TEXT for segment in segments)
    window, texts = 0, 0
    numbered: list[tuple[int, bool, Segment]] = []
    for segment in segments:
        is_text = segment.kind == SegmentKind.TEXT
        numbered.append((window, is_text == (placement.images != "suffix"), segment))
        texts += is_text
        if is_text and texts % per_window == 0 and texts < num_texts:
            window += 1
    return [segment for _, _, segment in sorted(numbered, key=lambda entry: entry[:2])]

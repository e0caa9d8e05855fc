"""The first packs whole: documents, text, loss mask, positions, and each image with its views and relevance maps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.explain import RELEVANCE_FIELDS
from jobs.inspect.find import SampleId
from jobs.inspect.output import Output, load_tokenizer
from jobs.inspect.packs import PACK_COLUMNS, describe_pack
from jobs.report.pictures import put_together
from jobs.stats.facts import sample_names
from jobs.terminal import printable
from pipeline.operator import Row
from pipeline.types import SegmentKind

MAX_BYTES = 4 << 20
"""Of JSON without pictures; the pack that reaches it is the last shown whole. One of 8,192 tokens takes 60 kB."""
MAX_PICTURE_BYTES = 9 << 20
"""Of small pictures as they stand in the page, so that it stays under 20 MB with 20,000 bars beside them."""
COLUMNS = (
    *PACK_COLUMNS,
    *("labels", "position_ids"),
    *("views.list.element.pixels.data", "views.list.element.pixels.format"),
)
INDEX_COLUMNS = (
    *("id.shard", "id.key", "id.ordinal"),
    *(f"segments.list.element.{name}" for name in ("kind", "member")),
    *(f"segments.list.element.relevance.{name}" for name in RELEVANCE_FIELDS),
)

Images = Sequence[Mapping[str, Any]]
"""Of a sample, as its index has them: `member` and `relevance`."""


def details(output: Output, limit: int) -> tuple[list[dict[str, Any]], str]:
    """The first packs whole, at most `limit` of them; and why texts are missing, or nothing.

    Images have no small picture where the output has no encoded pixels, or once MAX_PICTURE_BYTES are used.
    """
    tokenizer, why = load_tokenizer(output)
    found: list[dict[str, Any]] = []
    num_bytes = 0
    pictures_left = MAX_PICTURE_BYTES
    for unit, rows in _rows(output, limit):
        images = _images(output, unit, {_name(sample) for row in rows for sample in row["samples"]})
        for row in rows:
            pack = describe_pack(len(found), row, tokenizer)
            whole = {
                "id": pack["pack_id"],
                "mask": run_lengths(row["labels"] >= 0),
                "documents": [_document(document, row, images) for document in pack["documents"]],
            }
            num_bytes += len(json.dumps(whole, separators=(",", ":")))
            pictures_left -= _add_pictures(whole["documents"], row["views"], pictures_left)
            found.append(whole)
            if num_bytes >= MAX_BYTES:
                return found, why
    return found, why


def run_lengths(flags: np.ndarray) -> list[int]:
    """Lengths of the runs of equal flags, the first of them of what is false: it may be 0."""
    borders = np.flatnonzero(np.diff(flags.astype(np.int8))) + 1
    lengths: list[int] = np.diff([0, *borders, len(flags)]).tolist()
    return [0, *lengths] if len(flags) and flags[0] else lengths


def _rows(output: Output, limit: int) -> Iterator[tuple[str, list[Row]]]:
    """The first packs file by file, each with its unit; a file's are in memory together, up to the limit."""
    left = limit
    for unit in output.units:
        for path in output.files(unit)["data"]:
            if left <= 0:
                return
            rows = [row for row, _ in zip(output.rows(path, COLUMNS), range(left), strict=False)]
            left -= len(rows)
            yield unit, rows


def _images(output: Output, unit: str, names: Iterable[SampleId]) -> dict[SampleId, Images]:
    """What the indexes know of the images of some samples; those of a closing unit are in the units that it closes."""
    wanted = pa.array([f"{name.shard}#{name.ordinal}" for name in names], pa.string())
    found: dict[SampleId, Images] = {}
    for owner in (unit, *output.manifest(unit).get("closes", ())):
        for path in output.files(owner)["index"]:
            for table in output.tables(path, INDEX_COLUMNS):
                chosen = table.filter(pc.is_in(sample_names(table["id"]), value_set=wanted))
                for row in chosen.to_pylist():
                    segments = row["segments"]
                    found[SampleId(**row["id"])] = [s for s in segments if s["kind"] == SegmentKind.IMAGE]
    return found


def _name(sample: Mapping[str, Any]) -> SampleId:
    return SampleId(**sample["id"])


def _document(document: Mapping[str, Any], row: Row, images: Mapping[SampleId, Images]) -> dict[str, Any]:
    name = SampleId(*(document[field] for field in SampleId._fields))
    start, end = document["start"], document["start"] + document["length"]
    positions = [axis[start:end] for axis in row["position_ids"]]
    return {
        "name": printable(str(name)),
        "part": [document["part"] + 1, document["num_parts"]],
        "copy": document["copy"],
        "start": start,
        "length": document["length"],
        "trained": int((row["labels"][start:end] >= 0).sum()),
        "positions": [[min(axis), max(axis)] for axis in positions],
        "content": [_piece(piece, row, images.get(name, ())) for piece in document["content"]],
    }


def _piece(piece: Mapping[str, Any], row: Row, images: Images) -> dict[str, Any]:
    start, tokens = piece["start"], piece["tokens"]
    if piece["kind"] == "text":
        trained = int((row["labels"][start : start + tokens] >= 0).sum())
        text = None if piece["text"] is None else printable(piece["text"])
        return {"start": start, "tokens": tokens, "trained": trained, "text": text}
    if piece["kind"] == "ids":
        trained = int((row["labels"][start : start + tokens] >= 0).sum())
        text = f"[picture written as {tokens} ids]"
        return {"start": start, "tokens": tokens, "trained": trained, "text": text}
    known = images[piece["image"]] if piece["image"] < len(images) else {}
    return {
        "start": start,
        "tokens": tokens,
        "image": piece["image"],
        "member": printable(known.get("member") or ""),
        "picture": piece["picture"],
        "views": [dict(view) for view in piece["views"]],
        "relevance": known.get("relevance"),
    }


def _add_pictures(documents: Sequence[Mapping[str, Any]], views: Sequence[Row], left: int) -> int:
    """Gives images their small pictures while bytes are `left`; returns how many it used."""
    used = 0
    for number, document in enumerate(documents):
        for piece in (piece for piece in document["content"] if "image" in piece):
            own = [view for view in views if (view["sample"], view["image"]) == (number, piece["image"])]
            piece["src"], piece["shown"] = put_together(own, piece["picture"]) if used < left else (None, None)
            used += len(piece["src"] or "")
    return used

"""What is in the packs: their counts, and one of them whole. Reads tokens and plans, never a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from jobs.inspect.output import Output, load_tokenizer
from operators.tokenizers import Tokenizer
from pipeline.errors import ConfigError
from pipeline.operator import Row
from pipeline.types import Modality

COUNT_COLUMNS = ("pack_id", "modality", "samples", "views.list.element.sample", "views.list.element.image")
VIEW_FIELDS = ("kind", "row", "col", "box", "height", "width", "start", "tokens", "budget", "relevance")
VIEW_COLUMNS = tuple(f"views.list.element.{name}" for name in ("sample", "image", *VIEW_FIELDS))
PACK_COLUMNS = ("pack_id", "input_ids", "modality", "samples", *VIEW_COLUMNS)


def overview(output: Output) -> dict[str, Any]:
    """The data set in numbers, as its newest version has them."""
    totals = output.version["totals"]
    tokens = totals.get("tokens", {})
    size = sum(tokens.get(name, 0) for name in ("tokens", "alignment", "padding"))
    return {
        "output": output.url,
        "version": output.number,
        "profile": output.recipe["profile"]["name"],
        "sequence_length": output.sequence_length,
        "num_units": len(output.units),
        "num_packs": output.num_packs,
        "fill": round(tokens.get("tokens", 0) / size, 6) if size else 0.0,
        "totals": totals,
        "sources": output.version["sources"],
        "reasons": output.version["reasons"],
        "withheld_shards": output.version["withheld_shards"],
    }


def first_packs(output: Output, limit: int) -> Iterator[Row]:
    """The rows of the first `limit` packs, with what `count` needs."""
    left = limit
    for unit in output.units:
        if left <= 0:
            return
        for path in output.files(unit)["data"]:
            for row in output.rows(path, COUNT_COLUMNS):
                yield row
                left -= 1
                if left <= 0:
                    return


def count(number: int, row: Row) -> dict[str, Any]:
    """One pack in numbers; `number` is its place in the data set, from 0."""
    modality = row["modality"]
    tokens = {
        "text": int((modality == Modality.TEXT).sum()),
        "visual": int(np.isin(modality, (Modality.IMAGE, Modality.VIDEO, Modality.DISCRETE)).sum()),
        "markers": int((modality == Modality.MARKER).sum()),
        "padding": int((modality == Modality.PADDING).sum()),
    }
    return {
        "number": number,
        "pack_id": row["pack_id"],
        "fill": round(1 - tokens["padding"] / len(modality), 6),
        "num_documents": len(row["samples"]),
        "num_images": len({(view["sample"], view["image"]) for view in row["views"]}),
        "tokens": tokens,
    }


def find_pack(output: Output, wanted: str) -> tuple[int, Row]:
    """The number and row of a pack named by its number or id. ConfigError if there is no such pack."""
    by_number = wanted.isdecimal()
    if by_number and int(wanted) >= output.num_packs:
        raise ConfigError(f"{output.url} has {output.num_packs} packs, counted from 0; --pack {wanted} is none of them")
    unit_wanted = wanted.rpartition("-")[0]
    if not by_number and unit_wanted not in output.units:
        example = next((row["pack_id"] for row in first_packs(output, 1)), "0")
        raise ConfigError(
            f"no pack is called {wanted} in {output.url}; give its number or id, such as --pack {example}"
        )
    before = 0
    for unit in output.units:
        for file in output.manifest(unit)["files"]:
            if file["kind"] != "data":
                continue
            if by_number and int(wanted) < before + file["rows"]:
                return int(wanted), next(output.rows(file["path"], PACK_COLUMNS, int(wanted) - before))
            if unit == unit_wanted:
                ids = output.read(file["path"], ["pack_id"])["pack_id"].to_pylist()
                if wanted in ids:
                    place = ids.index(wanted)
                    return before + place, next(output.rows(file["path"], PACK_COLUMNS, place))
            before += file["rows"]
    raise ConfigError(
        f"no pack of unit {unit_wanted} is called {wanted}; list the packs with: lodepack inspect {output.url}"
    )


def read_pack(output: Output, number: int, row: Row) -> dict[str, Any]:
    """A pack whole: `count`, and its documents with their texts and images in reading order.

    A text is null where the tokenizer cannot be read; `text_missing` then says why.
    """
    tokenizer, why = load_tokenizer(output)
    return describe_pack(number, row, tokenizer) | {"text_missing": why or None}


def describe_pack(number: int, row: Row, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """`count`, and the documents of a pack with their texts and images; texts are null without a tokenizer."""
    documents = [
        sample["id"]
        | {name: sample[name] for name in ("copy", "part", "num_parts", "start", "length")}
        | {"content": list(_content(row, i, tokenizer))}
        for i, sample in enumerate(row["samples"])
    ]
    return count(number, row) | {"documents": documents}


def _content(row: Row, document: int, tokenizer: Tokenizer | None) -> Iterator[dict[str, Any]]:
    """Texts and images of one document of a pack, in the order of their tokens."""
    sample = row["samples"][document]
    start, end = sample["start"], sample["start"] + sample["length"]
    own = [view for view in row["views"] if view["sample"] == document]
    first_views = {view["image"]: view for view in reversed(own)}
    starts = {view["start"]: number for number, view in first_views.items()}
    is_text = row["modality"][start:end] == Modality.TEXT
    is_written = row["modality"][start:end] == Modality.DISCRETE
    kinds = is_text + 2 * is_written.astype(np.int8)
    borders = [start + int(i) + 1 for i in np.flatnonzero(np.diff(kinds))]
    cuts = sorted({start, end, *borders, *starts})
    for first, last in pairwise(cuts):
        ids = row["input_ids"][first:last]
        if is_text[first - start]:
            text = tokenizer.decode(ids.tolist()) if tokenizer else None
            yield {"kind": "text", "start": first, "tokens": last - first, "text": text}
        elif is_written[first - start]:
            if last - first > 1:  # alone it is the mark before an image's size (Emu3)
                yield {"kind": "ids", "start": first, "tokens": last - first}
        elif first in starts:
            views = [view for view in own if view["image"] == starts[first]]
            yield {
                "kind": "image",
                "start": first,
                # Newlines are placeholders without a view; markers around the image are none.
                "tokens": int((ids == ids[0]).sum()),
                "image": starts[first],
                "picture": [max(view["box"][2] for view in views), max(view["box"][3] for view in views)],
                "views": [{name: view[name] for name in VIEW_FIELDS} for view in views],
            }

"""What became of one sample, and why: packed where, rejected by what, or withheld by the limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.output import Output, load_tokenizer
from operators.tokenizers import Tokenizer
from pipeline import ledger, storage
from pipeline.errors import ConfigError, StorageError
from pipeline.formats import FORMATS
from pipeline.operator import Row
from pipeline.read import read_shard
from pipeline.types import SegmentKind

READING_THREADS = 8
MAX_LISTED = 10
"""Samples of one name that an error lists."""
INDEX_FIELDS = ("kind", "member", "offset", "size", "ids", "format", "plan", "relevance")
INDEX_COLUMNS = ("id", "lengths", "num_parts", *(f"segments.list.element.{name}" for name in INDEX_FIELDS))
PLACE_COLUMNS = ("pack_id", "samples", *(f"views.list.element.{name}" for name in ("sample", "image", "start")))
REJECTION_FIELDS = ("operator", "reason", "detail", "member", "offset", "size")


@dataclass(slots=True)
class _Found:
    """Where a unit's files have samples of the wanted name: row in the index, or place among the rejects."""

    unit: str
    files: dict[str, str]
    shards: int
    indexed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    rejected: set[tuple[str, str, int]] = field(default_factory=set)


def explain(output: Output, wanted: str) -> dict[str, Any]:
    """The fate of the sample called KEY, SHARD/KEY or SHARD/KEY#ORDINAL.

    `outcome` is packed, rejected or withheld; `rejection` is null unless it was rejected, `parts` say which tokens
    of which packs it has. ConfigError if no sample has this name, or more than one.
    """
    with ThreadPoolExecutor(READING_THREADS) as threads:
        units = list(threads.map(lambda unit: _search(output, unit, wanted), output.units))
    matches = sorted((name, found) for found in units for name in found.indexed.keys() | found.rejected)
    if len(matches) > 1:
        _refuse_many(wanted, [name for name, _ in matches])
    if not matches:
        return _explain_withheld(output, wanted)
    name, found = matches[0]
    row = next(output.rows(found.files["index"], INDEX_COLUMNS, found.indexed[name])) if name in found.indexed else None
    rejects = _rejects(output, found, name) if name in found.rejected else []
    return {
        "outcome": "rejected" if rejects else "packed",
        "id": dict(zip(("shard", "key", "ordinal"), name, strict=True)),
        "unit": found.unit,
        "lengths": row["lengths"] if row else None,
        "rejection": {n: rejects[0][n] for n in REJECTION_FIELDS} | {"shard": name[0]} if rejects else None,
        **_whereabouts(output, found, name, row, rejects[1:]),
    }


def _search(output: Output, unit: str, wanted: str) -> _Found:
    manifest = output.manifest(unit)
    found = _Found(unit, {file["kind"]: file["path"] for file in manifest["files"]}, len(manifest["inputs"]))
    ids = output.read(found.files["index"], ["id"])["id"].combine_chunks()
    mask = _has_name(ids, wanted)
    found.indexed = {_name(ids[i].as_py()): i for i in pc.indices_nonzero(mask).to_pylist()}
    table = output.read(found.files["rejects"], ["level", "id"])
    samples = table.filter(pc.equal(table["level"], ledger.SAMPLE))["id"].combine_chunks()
    found.rejected = {_name(row) for row in samples.filter(_has_name(samples, wanted)).to_pylist()}
    return found


def _has_name(ids: pa.StructArray, wanted: str) -> pa.BooleanArray:
    """Which of the ids (shard, key, ordinal) may be called `wanted`."""
    shard, key, ordinal = (ids.field(name) for name in ("shard", "key", "ordinal"))
    middle = pc.binary_join_element_wise(shard, key, "/")
    full = pc.binary_join_element_wise(middle, pc.cast(ordinal, pa.string()), "#")
    return pc.or_(pc.or_(pc.equal(key, wanted), pc.equal(middle, wanted)), pc.equal(full, wanted))


def _name(row: Row) -> tuple[str, str, int]:
    return row["shard"], row["key"], row["ordinal"]


def full_name(shard: str, key: str, ordinal: int) -> str:
    return f"{shard}/{key}#{ordinal}"


def _refuse_many(wanted: str, names: list[tuple[str, str, int]]) -> None:
    listed = [f"  {full_name(*name)}" for name in names[:MAX_LISTED]]
    more = [f"  and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    raise ConfigError("\n".join([f"{len(names)} samples are called {wanted}; give one in full:", *listed, *more]))


def _rejects(output: Output, found: _Found, name: tuple[str, str, int]) -> list[Row]:
    """The sample's own row, then one for each of its segments."""
    table = output.read(found.files["rejects"], ["level", "id", "segment", *REJECTION_FIELDS])
    ids = table["id"].combine_chunks()
    return list(table.filter(_has_name(ids, full_name(*name))).to_pylist())


def _whereabouts(
    output: Output, found: _Found, name: tuple[str, str, int], row: Row | None, fates: list[Row]
) -> dict[str, Any]:
    """`parts` of the sample in packs, and its `segments` with what is known of each."""
    parts: list[dict[str, Any]] = []
    starts: dict[int, tuple[str, int]] = {}
    data = [file["path"] for file in output.manifest(found.unit)["files"] if file["kind"] == "data"]
    for pack in (pack for path in data if row for pack in output.rows(path, PLACE_COLUMNS)):
        for i, sample in enumerate(pack["samples"]):
            if _name(sample["id"]) == name:
                place = {key: sample[key] for key in ("part", "num_parts", "start", "length")}
                parts.append({"pack_id": pack["pack_id"]} | place)
                for view in reversed(pack["views"]):
                    if view["sample"] == i:
                        starts[view["image"]] = (pack["pack_id"], view["start"])
    tokenizer, why = load_tokenizer(output) if row else (None, "")
    segments = _segments(row, starts, tokenizer) if row else [_fate(fate) for fate in fates]
    for segment, fate in zip(segments, fates, strict=False):
        segment |= {"reason": fate["reason"], "detail": fate["detail"]}
    return {
        "parts": sorted(parts, key=lambda part: int(part["part"])),
        "segments": segments,
        "text_missing": why or None,
    }


def _fate(fate: Row) -> dict[str, Any]:
    return {"kind": None} | {key: fate[key] for key in ("member", "offset", "size")}


def _segments(row: Row, starts: dict[int, tuple[str, int]], tokenizer: Tokenizer | None) -> list[dict[str, Any]]:
    segments: list[dict[str, Any]] = []
    image = 0
    for entry in row["segments"]:
        place = {name: entry[name] for name in ("member", "offset", "size")}
        if entry["kind"] == SegmentKind.TEXT:
            text = tokenizer.decode(entry["ids"]) if tokenizer else None
            segments.append({"kind": "text"} | place | {"tokens": len(entry["ids"]), "text": text})
            continue
        pack_id, start = starts.get(image, (None, None))
        segments.append(
            {"kind": "image"}
            | place
            | {"image": image, "format": entry["format"], "pack_id": pack_id, "start": start}
            | {"tokens": sum(view["tokens"] for view in entry["plan"]["views"])}
            | {"plan": entry["plan"], "relevance": entry["relevance"]}
        )
        image += 1
    return segments


def _explain_withheld(output: Output, wanted: str) -> dict[str, Any]:
    """A sample that the limit kept out, found by reading the one shard it may be in; otherwise ConfigError."""
    urls = output.newest_run().get("shards", {})
    unread = output.version["withheld_shards"]
    manifests = [output.manifest(unit) for unit in output.units]
    cut = [m["inputs"][-1]["shard"] for m in manifests if m["counts"]["samples"]["withheld"]]
    unreadable: list[str] = []
    for shard in [*cut, *(name for name in unread if wanted.startswith(f"{name}/"))]:
        try:
            names = _names_in(output, shard, urls[shard]) if shard in urls else []
        except StorageError:
            unreadable.append(shard)
            continue
        for key, ordinal in names:
            if wanted in {key, f"{shard}/{key}", full_name(shard, key, ordinal)}:
                identity = {"shard": shard, "key": key, "ordinal": ordinal}
                return {"outcome": "withheld", "id": identity, "unit": None, "lengths": None, "rejection": None} | {
                    "parts": [],
                    "segments": [],
                    "text_missing": None,
                }
    raise ConfigError(_nowhere(output, wanted, sum(len(m["inputs"]) for m in manifests), unread, unreadable))


def _names_in(output: Output, shard: str, url: str) -> list[tuple[str, int]]:
    """Keys and ordinals of a whole shard, named as a build names them."""
    form = FORMATS[output.recipe["job"]["format"]]
    most = output.recipe["job"]["limits"]["max_member_bytes"]
    with storage.open_input(url) as (stream, size):
        tables = read_shard(
            stream, size, shard_name=shard, unit=0, shard_number=0, format=form, max_member_bytes=most, take=0
        )
        rows = [row for table in tables for row in table.select(["key", "ordinal", "shard_end"]).to_pylist()]
    return [(row["key"], row["ordinal"]) for row in rows if row["shard_end"] is None]


def _nowhere(output: Output, wanted: str, num_shards: int, unread: list[str], unreadable: list[str]) -> str:
    samples = output.version["totals"]["samples"]
    where = f"{samples['packed']} packed, {samples['rejected']} rejected and {samples['withheld']} withheld of {num_shards} shards"
    hints = [f"; --limit left {len(unread)} more shards unread: name one, as {unread[0]}/KEY" if unread else ""]
    hints += [f"; {shard}, which the limit cut, cannot be read any more" for shard in unreadable]
    return f"no sample is called {wanted} in {output.url} ({where}){''.join(hints)}; give KEY, SHARD/KEY or SHARD/KEY#ORDINAL"

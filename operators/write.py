"""Lays out the packs of one file, renders their views at full quality, and writes files named by their content.

The only decoding at full quality. A picture whose damage shows only here rejects its sample, whose place in its pack
becomes tail padding; every other sample stays where it was. A split sample is judged alike by each of its parts,
because whoever writes one part looks at all of its pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from operators.encode import encode_view
from operators.layout import IGNORE, LaidOut, Part, image_numbers, lay_out, text_labels
from operators.pictures import load_upright, open_picture, to_rgb
from operators.plans import plan_from_row
from operators.profiles import Profile
from operators.slicing.qwen import QwenConfig
from operators.slicing.render import render, to_patches, to_planes
from operators.vocabulary import Vocabulary
from pipeline import ledger, storage
from pipeline.errors import InputError, StorageError
from pipeline.operator import Row
from pipeline.schema import INDEX, PACK, REJECTS
from pipeline.tasks import DATA, SUMMARY, TASK, from_stream, note_of, to_stream
from pipeline.types import Modality, Rejection, SegmentKind

Pixels = Literal["encoded", "patches", "source", "none"]
ROW_GROUP_PACKS = 8
"""Packs per row group: a loader's unit of reading. Fixed, because it changes bytes."""
INDEX_ROW_GROUP = 512
PARQUET = {"compression": "zstd", "compression_level": 3}


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """What `write` needs beside its tasks: small, and the same for all of them."""

    profile: Profile
    vocabulary: Vocabulary
    sequence_length: int
    pixels: Pixels
    max_image_pixels: int
    output: str


class Write:
    """Turns tasks into reports: the file written, its counts, and the rows of REJECTS found while writing it."""

    name = "write"
    version = 1

    def __init__(self, config: WriteConfig) -> None:
        self._config = config

    def __call__(self, table: pa.Table) -> pa.Table:
        reports = [self._write(row) for row in table.to_pylist()]
        return pa.Table.from_pylist(reports, schema=TASK)

    def _write(self, row: Row) -> Row:
        if row["kind"] == SUMMARY:
            return row
        write = self._write_data if row["kind"] == DATA else self._write_index
        note, rejects = write(row)
        return row | {
            "note": json.dumps(note, sort_keys=True),
            "payload": to_stream(pa.Table.from_pylist(rejects, REJECTS)),
        }

    def _write_index(self, row: Row) -> tuple[Row, list[Row]]:
        documents = from_stream(row["payload"])
        lengths = note_of(row)["lengths"]

        def batches() -> Iterator[list[Row]]:
            done = 0
            for batch in documents.to_batches(max_chunksize=INDEX_ROW_GROUP):
                rows = batch.to_pylist()
                yield [
                    self._index_row(document, size)
                    for document, size in zip(rows, lengths[done : done + len(rows)], strict=True)
                ]
                done += len(rows)

        stored = self._store("index", row["unit_id"], INDEX, batches())
        return {"file": stored, "counts": {}}, []

    def _index_row(self, row: Row, size: Sequence[int]) -> Row:
        labels = text_labels(row, self._config.vocabulary)
        segments: list[Row] = []
        for i, (segment, number) in enumerate(zip(row["segments"], image_numbers(row), strict=True)):
            entry = {name: segment[name] for name in ("kind", "member", "offset", "size")}
            if number is None:
                entry |= {"ids": row["tokens"][i], "labels": labels[i]}
            else:
                entry |= {
                    "format": row["pictures"][number]["format"],
                    "plan": row["plans"][number],
                    "runs": row["runs"][number],
                    "relevance": row["relevances"][number] if row["relevances"] else None,
                }
            segments.append(entry)
        tokens, images, patches, parts = size
        return {
            "id": _identity(row),
            "lengths": {"tokens": tokens, "images": images, "patches": patches},
            "num_parts": parts,
            "segments": segments,
        }

    def _write_data(self, row: Row) -> tuple[Row, list[Row]]:
        note = note_of(row)
        documents = from_stream(row["payload"]).to_pylist()
        rejected: dict[int, Rejection] = {}
        counts: dict[str, int] = {}

        def batches() -> Iterator[list[Row]]:
            for start in range(0, len(note["packs"]), ROW_GROUP_PACKS):
                group = note["packs"][start : start + ROW_GROUP_PACKS]
                pictures = self._pictures(group, documents, note["shards"], rejected)
                packs = []
                for i, assigned in enumerate(group):
                    kept = [(number, Part(*part)) for number, *part in assigned if number not in rejected]
                    if kept:
                        pack_id = f"{row['unit_id']}-{note['first'] + start + i:06d}"
                        packs.append(self._pack(pack_id, [(documents[n], part) for n, part in kept], pictures, counts))
                yield packs

        stored = self._store("data", f"{row['unit_id']}-{row['number']:04d}", PACK, batches())
        rejects = [r for number, why in sorted(rejected.items()) for r in ledger.reject_rows(documents[number], why)]
        return {"file": stored, "counts": counts}, rejects

    def _pictures(
        self,
        packs: list[list[list[int]]],
        documents: list[Row],
        shards: Mapping[str, str],
        rejected: dict[int, Rejection],
    ) -> dict[tuple[str, int], list[Row]]:
        """For each image of the packs' documents, by shard and offset, the `pixels` of each of its views.

        Ranges are fetched shard by shard. Damage puts the document into `rejected`.
        """
        pixels: dict[tuple[str, int], list[Row]] = {}
        if self._config.pixels in {"none", "source"}:
            return pixels
        wanted: dict[str, dict[tuple[int, int], list[tuple[int, int]]]] = {}
        for number in sorted({assigned[0] for pack in packs for assigned in pack} - rejected.keys()):
            document = documents[number]
            for i, segment in enumerate(document["segments"]):
                if segment["kind"] == SegmentKind.IMAGE:
                    place = (segment["offset"], segment["size"])
                    wanted.setdefault(document["shard"], {}).setdefault(place, []).append((number, i))
        for shard, places in sorted(wanted.items()):
            found = storage.read_ranges(shards[shard], list(places))
            for ((offset, _), users), data in zip(places.items(), found, strict=True):
                number, i = users[0]
                plan = documents[number]["plans"][image_numbers(documents[number])[i] or 0]
                try:
                    pixels[shard, offset] = self._views(data, plan, shards[shard])
                except InputError as error:
                    segment = documents[number]["segments"][i]
                    error.member, error.segment = segment["member"], i
                    error.offset, error.size = segment["offset"], segment["size"]
                    for user, _ in users:
                        rejected.setdefault(user, Rejection.from_error(self.name, error))
        return pixels

    def _views(self, data: bytes, plan: Row, url: str) -> list[Row]:
        picture = to_rgb(load_upright(open_picture(data, self._config.max_image_pixels)))
        if picture.size != (plan["width"], plan["height"]):
            raise StorageError(f"{url} changed while it was read; run the job again")
        return [self._pixels(view) for view in render(picture, plan_from_row(plan))]

    def _pixels(self, view: Image.Image) -> Row:
        if self._config.pixels == "encoded":
            data, kind = encode_view(view)
            return {"data": data, "format": kind}
        slicing = self._config.profile.slicing
        if isinstance(slicing, QwenConfig):
            return {"data": to_patches(view, slicing.patch, slicing.merge), "format": "patches"}
        return {"data": to_planes(view), "format": "planes"}

    def _pack(
        self,
        pack_id: str,
        members: list[tuple[Row, Part]],
        pictures: Mapping[tuple[str, int], list[Row]],
        counts: dict[str, int],
    ) -> Row:
        """One row of PACK, and its share of `counts`."""
        laid = [lay_out(row, part, self._config.vocabulary, self._config.profile.positions) for row, part in members]
        starts = np.cumsum([0, *(len(one.ids) for one in laid)]).tolist()
        length, used = self._config.sequence_length, starts[-1]
        tail = length - used
        samples = [
            {"id": _identity(row), "part": part.number, "num_parts": part.count, "start": start, "length": len(one.ids)}
            for (row, part), one, start in zip(members, laid, starts, strict=False)
        ]
        views = [
            view
            for number, ((row, part), one) in enumerate(zip(members, laid, strict=True))
            for view in self._pack_views(number, row, part, one, starts[number], pictures)
        ]
        positions = np.concatenate([one.positions for one in laid], axis=1)
        rows = positions.shape[0]
        padding = np.tile(np.arange(tail, dtype=np.int32), (rows, 1))
        modality = np.concatenate([*(one.modality for one in laid), np.full(tail, Modality.PADDING, np.int8)])
        labels = np.concatenate([*(one.labels for one in laid), np.full(tail, IGNORE, np.int32)])
        for name, amount in {
            "packs": 1,
            "tokens": used,
            "padding": tail,
            "text": int((modality == Modality.TEXT).sum()),
            "visual": int((modality == Modality.IMAGE).sum()),
            "trained": int((labels != IGNORE).sum()),
            "views": len(views),
        }.items():
            counts[name] = counts.get(name, 0) + amount
        return {
            "pack_id": pack_id,
            "input_ids": np.concatenate(
                [*(one.ids for one in laid), np.full(tail, self._config.vocabulary.padding, np.int32)]
            ),
            "labels": labels,
            "position_ids": list(np.concatenate([positions, padding], axis=1)),
            "segment_ids": np.repeat(
                np.array([*range(len(laid)), -1], np.int32), [*(len(one.ids) for one in laid), tail]
            ),
            "cu_seqlens": [*starts, length] if tail else starts,
            "modality": modality,
            "samples": samples,
            "views": views,
        }

    def _pack_views(
        self,
        number: int,
        row: Row,
        part: Part,
        laid: LaidOut,
        start: int,
        pictures: Mapping[tuple[str, int], list[Row]],
    ) -> Iterator[Row]:
        images = image_numbers(row)
        inside = [(i, images[i]) for i in range(part.first, part.last) if images[i] is not None]
        for (i, image), view_starts in zip(inside, laid.view_starts, strict=True):
            segment, plan = row["segments"][i], row["plans"][image or 0]
            rendered = pictures.get((row["shard"], segment["offset"]))
            for k, view in enumerate(plan["views"]):
                pixels = rendered[k] if rendered else None
                if self._config.pixels == "source":
                    pixels = {"shard": row["shard"], "offset": segment["offset"], "size": segment["size"]}
                    pixels["format"] = row["pictures"][image or 0]["format"]
                yield view | {
                    "sample": number,
                    "image": image,
                    "start": start + view_starts[k],
                    "pixels": pixels,
                }

    def _store(self, folder: str, stem: str, schema: pa.Schema, batches: Iterator[list[Row]]) -> Row:
        """Writes batches of rows as one row group each; the file's path, sha256, bytes and rows."""
        path: Path = storage.temporary_path(self._config.output)
        num_rows = 0
        try:
            with pq.ParquetWriter(path, schema, **PARQUET) as writer:
                for rows in batches:
                    if rows:
                        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    num_rows += len(rows)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StorageError(f"{path}: {error}; check the space left") from error
        stored = storage.put_by_content(self._config.output, folder, stem, ".parquet", path)
        return {"path": stored.path, "sha256": stored.sha256, "bytes": stored.size, "rows": num_rows, "kind": folder}


def _identity(row: Row) -> Row:
    return {"shard": row["shard"], "key": row["key"], "ordinal": row["ordinal"]}

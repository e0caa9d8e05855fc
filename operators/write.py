"""Writes the files of a unit, named by their content: packs with their views rendered at full quality, and the index.

A picture whose damage shows only here rejects its sample, whose place in its pack becomes tail padding; every other
sample stays in the pack where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import pyarrow as pa

from operators.copying import OlderViews
from operators.layout import Part, image_numbers, text_labels
from operators.pack_rows import Pixels, WriteConfig, identity, pack_row
from operators.rendering import Pictures
from pipeline import ledger, storage
from pipeline.guard import Result
from pipeline.operator import Row
from pipeline.parquet import write_parquet
from pipeline.schema import INDEX, REJECTS, pack_schema
from pipeline.tasks import DATA, SUMMARY, TASK, from_stream, note_of, to_stream

ROW_GROUP_PACKS, ROW_GROUP_PACKS_OF_PATCHES = 8, 2
"""Packs per row group: a loader's unit of reading. Fixed, because it changes bytes. Pixels that are not encoded take
up to 20 MB a pack."""
INDEX_ROW_GROUP = 512
PLACE = ("number", "kind", "member", "offset", "size", "encoding", "role")
"""What the index repeats of a segment."""


def row_group_packs(pixels: Pixels) -> int:
    """Packs per row group of a job's data files."""
    return ROW_GROUP_PACKS_OF_PATCHES if pixels == "patches" else ROW_GROUP_PACKS


class Write:
    """Turns tasks into reports: the file written, its counts, and the rows of REJECTS found while writing it."""

    name = "write"
    version = 8

    def __init__(self, config: WriteConfig, draw: Callable[[pa.Table], list[Result]]) -> None:
        """draw: maps a table of pictures by operators.drawing.Draw: in a Guard, or here."""
        self._config = config
        self._draw = draw
        self._older: OlderViews | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        reports = [self._write(row) for row in table.to_pylist()]
        return pa.Table.from_pylist(reports, schema=TASK)

    def _write(self, row: Row) -> Row:
        if row["kind"] == SUMMARY:
            return row
        write = self._write_data if row["kind"] == DATA else self._write_index
        with storage.counted() as traffic:
            note, rejects = write(row)
        return row | {
            "note": json.dumps(note | {"traffic": asdict(traffic)}, sort_keys=True),
            "payload": to_stream(pa.Table.from_pylist(rejects, REJECTS)),
        }

    def _write_index(self, row: Row) -> tuple[Row, list[Row]]:
        documents = from_stream(row["payload"])
        note = note_of(row)
        known = list(zip(note["lengths"], note["carried"], strict=True))

        def batches() -> Iterator[list[Row]]:
            done = 0
            for batch in documents.to_batches(max_chunksize=INDEX_ROW_GROUP):
                rows = batch.to_pylist()
                yield [
                    self._index_row(document, size) | {"carried": is_carried}
                    for document, (size, is_carried) in zip(rows, known[done : done + len(rows)], strict=True)
                ]
                done += len(rows)

        stored = write_parquet(self._config.output, "index", row["unit_id"], INDEX, batches())
        return {"file": stored, "counts": {}}, []

    def _index_row(self, row: Row, size: Sequence[int]) -> Row:
        labels = text_labels(row, self._config.vocabulary)
        segments: list[Row] = []
        relevances = iter(row["relevances"])
        for i, (segment, number) in enumerate(zip(row["segments"], image_numbers(row), strict=True)):
            entry = {name: segment[name] for name in PLACE}
            if number is None:
                entry |= {"ids": row["tokens"][i], "labels": labels[i]}
            else:
                entry |= {
                    **{name: row["pictures"][number][name] for name in ("format", "digest")},
                    "plan": row["plans"][number],
                    "runs": row["runs"][number],
                    "relevance": next(relevances, None) if row["plans"][number]["views"] else None,
                    "reduction": row["reductions"][number] if row["reductions"] else None,
                }
            segments.append(entry)
        tokens, images, patches, tiles, parts = size
        return {
            "id": identity(row),
            "lengths": {"tokens": tokens, "images": images, "patches": patches, "tiles": tiles},
            "num_parts": parts,
            "segments": segments,
            "dropped": row["dropped"],
        }

    def _write_data(self, row: Row) -> tuple[Row, list[Row]]:
        note = note_of(row)
        documents = from_stream(row["payload"]).to_pylist()
        pictures = Pictures(self._config, self._draw, documents, note["shards"], self._older_views(note["older"]))
        counts: Counter[str] = Counter()

        size = row_group_packs(self._config.pixels)

        def batches() -> Iterator[list[Row]]:
            for start in range(0, len(note["packs"]), size):
                group = [
                    [(number, Part(*part)) for number, *part in assigned]
                    for assigned in note["packs"][start : start + size]
                ]
                rendered = pictures.render([member for members in group for member in members])
                packs: list[Row] = []
                for number, members in enumerate(group, start=note["first"] + start):
                    kept = [(documents[n], part) for n, part in members if n not in pictures.rejected]
                    if kept:
                        packs.append(pack_row(f"{row['unit_id']}-{number:06d}", kept, rendered, self._config, counts))
                yield packs

        stem = f"{row['unit_id']}-{row['number']:04d}"
        schema = pack_schema(
            fractional=self._config.profile.positions.fractional,
            weighted=self._config.loss_weights is not None,
            aligned=self._config.align > 1,
            reduced=self._config.is_reduced,
        )
        stored = write_parquet(self._config.output, "data", stem, schema, batches())
        rejects = [
            reject
            for number, why in sorted(pictures.rejected.items())
            for reject in ledger.reject_rows(documents[number], why)
        ]
        return {"file": stored, "counts": counts, "views": pictures.views}, rejects

    def _older_views(self, files: Sequence[str]) -> OlderViews | None:
        """The views of older packs. Kept from one task to the next: those of a unit have the same."""
        if not files:
            return None
        if self._older is None or self._older.files != tuple(files):
            self._older = OlderViews(files)
        return self._older

"""Parquet files of the output: fixed settings, because they change bytes, under the name of their content."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.columns import table_from_rows
from pipeline.operator import Row

LEVEL = 3
"""Of zstd."""
PIXELS = "views.list.element.pixels.data"
"""Encoded pictures cannot be compressed again, and patches take ten times as long to write with zstd as without."""


def settings_of(schema: pa.Schema) -> dict[str, Any]:
    if "views" not in schema.names:
        return {"compression": "zstd", "compression_level": LEVEL}
    others = [name for name in _leaves(schema) if name != PIXELS]
    return {
        "compression": dict.fromkeys(others, "zstd") | {PIXELS: "none"},
        "compression_level": dict.fromkeys(others, LEVEL),
        "use_dictionary": others,
        "write_statistics": others,
    }


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns of a Parquet file of this schema, as it names them."""
    file = io.BytesIO()
    pq.ParquetWriter(file, schema).close()
    columns = pq.ParquetFile(file).schema
    return [columns.column(i).path for i in range(len(columns))]


def write_parquet(output: str, folder: str, stem: str, schema: pa.Schema, row_groups: Iterable[list[Row]]) -> Row:
    """Writes each list of rows as one row group of `output/folder/stem-<sha8>.parquet`; the manifest's entry of it."""
    path = storage.temporary_path(output)
    num_rows = 0
    try:
        with pq.ParquetWriter(path, schema, **settings_of(schema)) as writer:
            for rows in row_groups:
                if rows:
                    writer.write_table(table_from_rows(rows, schema))
                num_rows += len(rows)
        stored = storage.put_by_content(output, folder, stem, ".parquet", path)
    except OSError as error:
        size = path.stat().st_size if path.exists() else 0
        raise storage.failure(str(path), "write", error, size=size) from error
    finally:
        path.unlink(missing_ok=True)
    return {"path": stored.path, "sha256": stored.sha256, "bytes": stored.size, "rows": num_rows, "kind": folder}

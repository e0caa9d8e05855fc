"""Parquet files of the output: fixed settings, because they change bytes, under the name of their content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.operator import Row

SETTINGS: dict[str, Any] = {"compression": "zstd", "compression_level": 3}


def write_parquet(output: str, folder: str, stem: str, schema: pa.Schema, row_groups: Iterable[list[Row]]) -> Row:
    """Writes each list of rows as one row group of `output/folder/stem-<sha8>.parquet`; the manifest's entry of it."""
    path = storage.temporary_path(output)
    num_rows = 0
    try:
        with pq.ParquetWriter(path, schema, **SETTINGS) as writer:
            for rows in row_groups:
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                num_rows += len(rows)
        stored = storage.put_by_content(output, folder, stem, ".parquet", path)
    except OSError as error:
        size = path.stat().st_size if path.exists() else 0
        raise storage.failure(str(path), "write", error, size=size) from error
    finally:
        path.unlink(missing_ok=True)
    return {"path": stored.path, "sha256": stored.sha256, "bytes": stored.size, "rows": num_rows, "kind": folder}

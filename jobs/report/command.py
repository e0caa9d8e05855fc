"""Makes the page of an output and puts it where it is wanted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jobs.inspect.output import open_output
from jobs.report.gathering import collect
from jobs.report.page import render
from jobs.spec import writing
from pipeline import storage
from pipeline.errors import ConfigError

NAME = "report.html"


def write_report(url: str, target: str | None, *, num_whole: int, version: int | None = None) -> dict[str, Any]:
    """Writes the page of a version of the output at `url`, the newest by default, and says what is in it.

    target: a local file, which is replaced; by default report.html in the output. ConfigError if there is no such
    output or version, or no file to write to; StorageError if one cannot be read or written.
    """
    path = None if target is None else _local_page(target)
    output = open_output(url, version)
    content = collect(output, num_whole)
    page = render(content)
    if path is None:
        storage.overwrite(output.url, NAME, page)
    else:
        _replace(path, page)
    return {
        "report": storage.join(url, NAME) if path is None else str(path),
        "bytes": len(page),
        "version": output.number,
        "num_packs": output.num_packs,
        "num_drawn": len(content["bars"]),
        "num_whole": len(content["whole"]),
        "num_rejects": sum(entry["amount"] for entry in content["rejects"]),
    }


def _local_page(target: str) -> Path:
    if not storage.is_local(target):
        raise ConfigError(f"--output {target} is not on this machine; a local file is expected, such as {NAME}")
    path = storage.local_path(target).absolute()
    if path.is_dir() or path.suffix != ".html":
        kind = "a folder" if path.is_dir() else "no .html file"
        raise ConfigError(f"--output {path} is {kind}; a file to write or replace is expected, such as {NAME}")
    return path


def _replace(path: Path, page: bytes) -> None:
    """Writes the file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(page)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

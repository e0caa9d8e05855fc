"""What travels to the cluster: this installation's code, the job, and the files that it names, as one zip."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import jobs
import operators
import pipeline
from pipeline.errors import ConfigError

MAX_BYTES = 100 << 20
"""Of all files. The head keeps the zip in its memory, every node a copy; Ray itself refuses 512 MiB."""
NUM_SHOWN = 3
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the zip, whose name Ray takes from its bytes."""
OURS = (pipeline, operators, jobs)
LEFT_OUT = ("__pycache__", "samples")
"""Folders of our packages that no run needs; the sample shards are 5 MB."""

Files = Mapping[str, Path | bytes]
"""By their names on the node, from the driver's working directory on; what they hold, or where it is."""


def own_code() -> dict[str, Path]:
    """The packages that this process runs, of a checkout or of an installed wheel.

    They go into the working directory: there Python looks before it looks for what the cluster's image has installed.
    """
    return dict(found for package in OURS for found in _files_of(Path(package.__path__[0])))


def _files_of(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not set(inside.parts).intersection(LEFT_OUT):
            yield f"{root.name}/{inside.as_posix()}", path


def refuse_large(files: Files) -> None:
    """ConfigError if the files have more than MAX_BYTES in all, with the largest by name."""
    sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
    total = sum(sizes.values())
    if total <= MAX_BYTES:
        return
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:NUM_SHOWN]
    raise ConfigError(
        f"{total / 2**20:,.0f} MiB in {len(sizes):,} files would travel with the job, and at most "
        f"{MAX_BYTES / 2**20:,.0f} do; the largest: "
        + ", ".join(f"{name} ({sizes[name] / 2**20:,.1f} MiB)" for name in largest)
        + "; put shards where every node reads them (a URL, or an absolute path on a shared file system), and name "
        "what else is not needed in .gitignore or .rayignore"
    )


def digest(files: Files) -> str:
    """sha256 of the names and contents."""
    whole = hashlib.sha256()
    for name, data in _contents(files):
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()


def write_zip(files: Files, path: Path) -> None:
    """Writes the files; the same ones make the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _contents(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def _contents(files: Files) -> Iterator[tuple[str, bytes]]:
    for name in sorted(files):
        file = files[name]
        yield name, file if isinstance(file, bytes) else file.read_bytes()

"""Files that records name, below one folder and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import InputError, Reason
from pipeline.formats.fields import extension_of


def read_file(root: Path, path: Any, kind: str, extensions: frozenset[str]) -> bytes:
    """The bytes of a file. kind: what it is, in errors. InputError as find_file."""
    file = find_file(root, path, kind, extensions)
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unread(kind, path, error) from error


def find_file(root: Path, path: Any, kind: str, extensions: frozenset[str]) -> Path:
    """Where a file below `root` is. InputError if there is none, or it lies elsewhere or is of no such kind."""
    reason = Reason.FIELD_MISSING
    if not isinstance(path, str) or not path:
        raise InputError(reason, f"names a {kind} as {path!r:.40}; a path is expected")
    if extension_of(path) not in extensions:
        raise InputError(reason, f"names the {kind} {path!r:.200}, whose extension is none of a {kind}")
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            raise InputError(reason, f"names the {kind} {path!r:.200}, which leads out of {root}; it was not read")
        file.stat()
    except (OSError, ValueError) as error:
        raise _unread(kind, path, error) from error
    return file


def _unread(kind: str, path: str, error: Exception) -> InputError:
    why = error.strerror if isinstance(error, OSError) else "no path"
    return InputError(Reason.FIELD_MISSING, f"names the {kind} {path!r:.200}: {why}")

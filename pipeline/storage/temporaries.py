"""Files that have no name yet: where they lie, and how those of dead processes go."""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.addresses import is_local, local_path
from pipeline.storage.failures import failure, is_full

TEMPORARY = "runs/tmp"
"""Where a local output keeps files that have no name yet: the same file system, outside the reproducible tree."""


def _folder(root: str) -> Path:
    return local_path(root) / TEMPORARY if is_local(root) else Path(tempfile.gettempdir()) / "lodepack"


def _temporary_folder(root: str) -> Path:
    folder = _folder(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise failure(str(folder), "write", error) from error
        raise StorageError(f"{folder}: {error.strerror}; choose an output folder that can be written") from error
    return folder


def temporary_path(root: str) -> Path:
    """A fresh local path for a file on its way into `root`; its name says which process may still be writing it."""
    return _temporary_folder(root) / f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"


def sweep_temporaries(root: str, *, with_own: bool = False) -> None:
    """Removes what dead processes of this host left behind; files of living ones and of other hosts stay.

    with_own: those of this process too, which has to have stopped writing.
    """
    for path in _folder(root).glob(f"{socket.gethostname()}.*"):
        if not is_in_use(path.name) or (with_own and _writer(path.name) == os.getpid()):
            path.unlink(missing_ok=True)


def is_in_use(temporary: str) -> bool:
    """Whether a process of this host that is alive may be writing the file of this name; of other hosts none is known.

    What has no name of ours is nobody's.
    """
    pid = _writer(temporary)
    return pid is not None and temporary.startswith(f"{socket.gethostname()}.") and _is_alive(pid)


def _writer(temporary: str) -> int | None:
    """The process that a temporary file's name tells of; a name that is not ours tells of none."""
    pid = (temporary.rsplit(".", 2)[-2:] or [""])[0]
    return int(pid) if pid.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and running
        return True
    return True

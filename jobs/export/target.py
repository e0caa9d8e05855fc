"""Where an export goes: a new or empty folder or URL, in which each file appears whole under its own name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.spec import absolute, writing
from pipeline import storage
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """An open target."""

    url: str
    scratch: Path
    """A local folder for files on their way."""

    def put(self, name: str, source: Path) -> None:
        """Moves the finished file `source`, of `scratch`, to `name` below the target; StorageError if it cannot."""
        storage.put_file(self.url, name, source)

    def put_bytes(self, name: str, data: bytes) -> None:
        """Writes a file that is in memory."""
        source = self.scratch / "bytes"
        source.write_bytes(data)
        self.put(name, source)


@contextmanager
def open_target(url: str) -> Iterator[Target]:
    """The target at `url`, made if it is a local folder.

    ConfigError if there is anything in it; StorageError, also from inside the `with`, if it cannot be written.
    """
    url = absolute(url)
    if storage.list_names(url):
        raise ConfigError(f"{url} is not empty; name a new folder, also after an export that was stopped")
    local = storage.is_local(url)
    folder = storage.local_path(url) if local else Path(tempfile.gettempdir())
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # In the target itself, so that a finished file gets its name by renaming and a killed export leaves a trace.
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as scratch:
            yield Target(url, Path(scratch))

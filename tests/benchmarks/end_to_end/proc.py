"""What the system says of a process, by its id; nothing, or 0, where it is gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
STORE = "/dev/shm/plasma"
"""What the names of the files begin with in which Ray keeps objects."""


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; nothing where the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def pss_bytes(pid: int) -> int:
    """Bytes of memory, of pages that several processes share a part; 0 where the process is gone or a zombie."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def role_at(pid: int) -> str:
    """What a process is, in a word or two."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    except OSError:
        return ""
    return role_of(words)


def role_of(words: Sequence[str]) -> str:
    """What a command line is: a Ray worker by its title, a module by its name, anything else by its file."""
    if not words:
        return ""
    if words[0].startswith("ray::"):
        return re.sub(r"[0-9a-f]{8,}", "", " ".join(words))[:60]
    if "-m" in words[:4] and len(words) > words.index("-m") + 1:
        return words[words.index("-m") + 1]
    script = next((word for word in words[1:] if word.endswith(".py")), None)
    if "python" in Path(words[0]).name and script is not None:
        return Path(script).name
    if "python" in Path(words[0]).name and "-c" in words:
        return "python -c"
    return Path(words[0]).name


def store_bytes(raylet: int) -> int:
    """Pages held by the files of the object store, which have no name any more but are open in the raylet."""
    found: dict[int, int] = {}
    with suppress(OSError):
        for link in (PROC / str(raylet) / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if str(link.readlink()).startswith(STORE):
                    status = link.stat()
                    found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())

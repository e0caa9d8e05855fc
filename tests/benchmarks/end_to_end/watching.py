"""Looks at a command and all that it starts, from outside: memory of each process, seconds of CPU, the object store."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.end_to_end.proc import PROC, pss_bytes, role_at, stat_fields, store_bytes

EVERY_SECONDS = 0.5
SHARED_EVERY_SECONDS = 5.0
"""PSS is asked for so often, or when RSS has changed by GROWN: asked every half second it took 8 % of a core."""
GROWN = 0.02
MB = 1e6
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Process:
    """One process, as far as it was seen."""

    role: str
    rss: int = 0
    """Most bytes at once."""
    pss: int = 0
    cpu_seconds: float = 0.0
    last: tuple[float, int, int] = (-SHARED_EVERY_SECONDS, 0, 0)
    """When PSS was asked for last, RSS then, and the answer."""

    def look(self, pid: int, rss: int, now: float) -> int:
        """Bytes of PSS, perhaps a little old."""
        then, rss_then, pss = self.last
        if now - then >= SHARED_EVERY_SECONDS or abs(rss - rss_then) > GROWN * rss_then:
            pss = pss_bytes(pid)
            self.last = (now, rss, pss)
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
        return pss


@dataclass(slots=True)
class Watched:
    """A command that ended."""

    began: float
    """Seconds since 1970."""
    wall_seconds: float
    cpu_seconds: float
    """Of all processes: what the system counted for those that were waited for, or what was seen, if that is more."""
    peak_bytes: int
    """Most memory of all at once; pages that several share count once (PSS)."""
    store_bytes: int
    """Most pages that the files of Ray's object store held."""
    returncode: int
    stdout: str
    stderr: str
    processes: list[Process] = field(default_factory=list)
    watching_seconds: float = 0.0
    """CPU that the looking itself took."""

    def by_role(self) -> dict[str, dict[str, float]]:
        """Of each role the number of processes, their CPU seconds, and the most memory of one of them in MB."""
        found: dict[str, list[Process]] = defaultdict(list)
        for process in self.processes:
            found[process.role].append(process)
        return {
            role: {
                "processes": len(own),
                "cpu_seconds": round(sum(one.cpu_seconds for one in own), 2),
                "pss_mb": round(max(one.pss for one in own) / MB, 1),
                "rss_mb": round(max(one.rss for one in own) / MB, 1),
            }
            for role, own in sorted(found.items())
        }


def watch(command: Sequence[str], cwd: Path, environment: dict[str, str]) -> Watched:
    """Runs a command to its end."""
    began, started = time.time(), time.monotonic()
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watcher = _Watcher(process.pid)
        watcher.start()
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(process.stderr.read() if process.stderr else ""))
        reader.start()
        stdout = process.stdout.read() if process.stdout else ""
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        watcher.stop()
    seen = sum(one.cpu_seconds for one in watcher.processes.values())
    return Watched(
        began=began,
        wall_seconds=wall,
        cpu_seconds=max(seen, usage.ru_utime + usage.ru_stime),
        peak_bytes=watcher.peak_bytes,
        store_bytes=watcher.store_bytes,
        returncode=process.returncode,
        stdout=stdout,
        stderr=said[0],
        processes=list(watcher.processes.values()),
        watching_seconds=watcher.cpu_seconds,
    )


class _Watcher(threading.Thread):
    """Looks at a tree of processes until it is stopped; who was once in it stays, whoever its parent is by then."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.processes: dict[tuple[int, str], Process] = {}
        """By process id and the time when it began."""
        self.peak_bytes = self.store_bytes = 0
        self.cpu_seconds = 0.0
        self._tree = {root}
        self._stopped = threading.Event()

    def run(self) -> None:
        while True:
            self._look()
            self.cpu_seconds = time.thread_time()
            if self._stopped.wait(EVERY_SECONDS):
                return

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _look(self) -> None:
        table = {
            pid: fields
            for path in PROC.iterdir()
            if path.name.isdigit() and (fields := stat_fields(pid := int(path.name)))
        }
        self._tree &= table.keys()
        grown = True
        while grown:
            more = {pid for pid, fields in table.items() if int(fields[1]) in self._tree} - self._tree
            self._tree |= more
            grown = bool(more)
        total = store = 0
        now = time.monotonic()
        for pid in self._tree:
            fields = table[pid]
            process = self.processes.setdefault((pid, fields[19]), Process(""))
            process.role = role_at(pid) or process.role
            process.cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS
            total += process.look(pid, int(fields[21]) * PAGE, now)
            if process.role == "raylet":
                store += store_bytes(pid)
        self.peak_bytes, self.store_bytes = max(self.peak_bytes, total), max(self.store_bytes, store)

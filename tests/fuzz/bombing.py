"""Runs a real local build of a bomb in a process of its own, and of the same shards without it: memory, time, fate."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.bombs import END, LIMITS, MAX_PIXELS, Bomb, sound

SECONDS = 300
"""After which a build is killed, and its bomb has failed."""
OPTIONS = (
    "score=null",
    "budget=none",
    "sequence_length=4096",
    "limits.max_reject_ratio=1",
    f"limits.max_image_pixels={MAX_PIXELS}",
    f"limits.max_member_bytes={LIMITS.member_bytes}",
    f"limits.max_text_bytes={LIMITS.text_bytes}",
    f"limits.max_sample_bytes={LIMITS.sample_bytes}",
    f"limits.max_sample_members={LIMITS.sample_members}",
)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one build. megabytes: its peak, of its process and of the largest that it started."""

    seconds: float
    megabytes: float
    packed: frozenset[str]
    reasons: dict[str, int]
    untrue: int
    """Findings of `verify`, which runs after the figures are taken."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Blast:
    """A bomb against the same build without it."""

    bomb: Bomb
    run: Run
    megabytes: float
    seconds: float

    @property
    def faults(self) -> list[str]:
        """What is not as it should be, but for the time."""
        bomb, run = self.bomb, self.run
        kept = {"a"} if bomb.is_end else {"a", "z"}
        faults = [run.error] if run.error else []
        if not kept <= run.packed:
            faults.append(f"packed {sorted(run.packed)}; {sorted(kept)} expected among them")
        if not (fate := {*run.reasons, *(["packed"] if "b" in run.packed else [])}) or not fate <= bomb.reasons:
            faults.append(f"came to {sorted(fate)}; {sorted(bomb.reasons)} expected")
        if self.megabytes > bomb.cap_bytes / (1 << 20) + 256:
            faults.append(f"took {self.megabytes:.0f} MB; the cap is {bomb.cap_bytes >> 20} MB and 256")
        if run.untrue:
            faults.append(f"verify finds {run.untrue} things untrue")
        return faults


class Range:
    """Where bombs go off: one server process that has imported what a build needs, and forks one for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["jobs.build", "jobs.verify", "tests.support", "operators.write"])
        self._plain: dict[tuple[str, bool], Run] = {}

    def blast(self, bomb: Bomb) -> Blast:
        way = (bomb.format, bomb.is_shard)
        if way not in self._plain:
            self._build(bomb, self._folder / "warm", with_bomb=False)
            self._plain[way] = self._build(bomb, self._folder / f"plain-{bomb.format}-{bomb.is_shard}", with_bomb=False)
        plain = self._plain[way]
        run = self._build(bomb, self._folder / "bomb", with_bomb=True)
        return Blast(bomb, run, max(0.0, run.megabytes - plain.megabytes), max(0.0, run.seconds - plain.seconds))

    def _build(self, bomb: Bomb, folder: Path, *, with_bomb: bool) -> Run:
        shards = _write(bomb, folder, with_bomb=with_bomb)
        mine, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(str(folder), bomb.format, theirs))
        process.start()
        theirs.close()
        found: Run | None = None
        with suppress(EOFError):  # the end of a process that died without an answer
            found = mine.recv() if mine.poll(SECONDS) else None
        process.kill()
        process.join()
        for path in shards:
            path.unlink()
        return found or Run(SECONDS, 0, frozenset(), {}, 0, f"no answer in {SECONDS} s; exit code {process.exitcode}")


def _write(bomb: Bomb, folder: Path, *, with_bomb: bool) -> list[Path]:
    """One shard of two sound samples with the bomb between them, or two shards where the bomb is one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "s-000000.tar", folder / "s-000001.tar"]
    with paths[0].open("wb") as first, paths[1].open("wb") as second:
        first.write(sound("a", bomb.format))
        bombed = second if bomb.is_shard else first
        for chunk in bomb.chunks() if with_bomb else ():
            bombed.write(chunk)
        first.write(sound("z", bomb.format) + END)
        if not (bomb.is_shard and with_bomb):
            second.write(END)
    return paths


def _run(folder: str, form: str, answer: Connection) -> None:
    from tests.support import build

    output = Path(folder) / f"out-{time.monotonic_ns()}"
    started = time.monotonic()
    error = ""
    try:
        build(output, f"{folder}/s-{{000000..000001}}.tar", *OPTIONS, f"input.format={form}", "name=bomb")
    except Exception as caught:  # noqa: BLE001 - whatever it is, it is what the bomb did
        error = f"{type(caught).__name__}: {caught}"
    seconds = time.monotonic() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    packed, reasons = fates(output)
    untrue = 0 if error else _untrue(output)
    answer.send(Run(seconds, peak, packed, reasons, untrue, error))


def fates(output: Path) -> tuple[frozenset[str], dict[str, int]]:
    """Keys that are packed, and rejected samples by reason."""
    packed = {sample["id"]["key"] for row in _rows(output / "data", ["samples"]) for sample in row["samples"]}
    rejects = _rows(output / "rejects", ["level", "reason"])
    return frozenset(packed), dict(Counter(row["reason"] for row in rejects if row["level"] == "sample"))


def _rows(folder: Path, columns: list[str]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for path in sorted(folder.glob("*")) for row in pq.read_table(path, columns=columns).to_pylist()]


def _untrue(output: Path) -> int:
    from jobs.verify import verify

    return len(verify(str(output)).findings)

"""Runs inputs of a target in a process of its own: a crash in C or a hang costs that process, and is told by number.

    python -m tests.fuzz.fuzzing picture --seed 7 --first 1234 --count 1

runs the one input again that a failure named, with its traceback.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

HANG_SECONDS = 10
PRELOAD = ["tests.fuzz.targets"]
REPORT_EVERY = 50


@dataclass(slots=True)
class Outcome:
    """What came of a number of inputs. Failures are (number, what)."""

    inputs: int = 0
    accepted: int = 0
    rejected: int = 0
    crashes: list[tuple[int, str]] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)
    slowest_seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.crashes += other.crashes
        self.hangs += other.hangs
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)

    def to_lines(self, kind: str, seed: int) -> list[str]:
        """A line a failure, with the command that runs it again."""
        found = [*self.crashes, *((number, f"no end in {HANG_SECONDS} s") for number in self.hangs)]
        again = f"python -m tests.fuzz.fuzzing {kind} --seed {seed} --count 1 --first"
        return [f"{what}: {again} {number}" for number, what in found]


def fuzz(kind: str, *, seed: int, first: int, count: int) -> Outcome:
    """Inputs from number `first` on, each within HANG_SECONDS; one that kills its process is a crash."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    total, start, end = Outcome(), first, first + count
    while start < end:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(kind, seed, start, end, theirs), daemon=True)
        process.start()
        theirs.close()
        done, is_hanging = _collect(mine, total)
        if is_hanging:
            process.kill()
        if is_hanging:
            process.kill()
        process.join()
        start += done
        if start < end:
            stuck = _find(kind, seed, start, min(end, start + REPORT_EVERY), total)
            start = stuck + 1
    return total


def _collect(mine: Connection, total: Outcome) -> tuple[int, bool]:
    """Adds the reports of a process until its end; how many inputs it had done, and whether it stopped answering."""
    done = 0
    while True:
        if not mine.poll(HANG_SECONDS * REPORT_EVERY):
            return done, True
        try:
            found: Outcome = mine.recv()
        except EOFError:
            return done, False
        total.add(found)
        done += found.inputs


def _find(kind: str, seed: int, start: int, end: int, total: Outcome) -> int:
    """Runs the inputs after the last report one process each, to find which killed theirs; its number."""
    context = multiprocessing.get_context("forkserver")
    for number in range(start, end):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(kind, seed, number, number + 1, theirs), daemon=True)
        process.start()
        theirs.close()
        process.join(2 * HANG_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            total.add(Outcome(inputs=1, hangs=[number]))
            return number
        if process.exitcode:
            total.add(Outcome(inputs=1, crashes=[(number, f"the process died with exit code {process.exitcode}")]))
            return number
        total.add(mine.recv())
    return end - 1


def _work(kind: str, seed: int, start: int, end: int, answer: Connection) -> None:
    from tests.fuzz.targets import TARGETS

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there what it thinks of a file
    signal.signal(signal.SIGALRM, _too_long)
    target = TARGETS[kind]
    target.check(target.seeds()[0])  # what a first use imports is no time of an input
    found = Outcome()
    for number in range(start, end):
        data = target.input(seed, number)
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            is_accepted = target.check(data)
        except TimeoutError:
            found.hangs.append(number)
        except Exception as error:  # noqa: BLE001 - any exception is a failure of the target
            place = traceback.extract_tb(error.__traceback__)[-1]
            found.crashes.append(
                (number, f"{type(error).__name__}: {error!s:.100} ({Path(place.filename).name}:{place.lineno})")
            )
        else:
            found.accepted += is_accepted
            found.rejected += not is_accepted
        signal.setitimer(signal.ITIMER_REAL, 0)
        found.inputs += 1
        found.slowest_seconds = max(found.slowest_seconds, time.monotonic() - started)
        if found.inputs == REPORT_EVERY or number == end - 1:
            answer.send(found)
            found = Outcome()


def _too_long(_: int, __: FrameType | None) -> None:
    raise TimeoutError


def main() -> None:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    if given.count == 1:  # in this process, for the traceback
        data = TARGETS[given.kind].input(given.seed, given.first)
        print(f"{len(data)} bytes, {'accepted' if TARGETS[given.kind].check(data) else 'rejected'}")
        return
    found = fuzz(given.kind, seed=given.seed, first=given.first, count=given.count)
    print("\n".join([*found.to_lines(given.kind, given.seed), f"{found.inputs} inputs, {found.accepted} accepted"]))


if __name__ == "__main__":
    main()

"""Knows which operator holds which rows and since when, so that a run in which nothing moves can say where it stands.

Ray has several ways to wait for ever without a word: an actor that is alive and does nothing, a task that vanished,
a pool that cannot be placed. A watchdog asks here how long ago anything moved.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline.derived import original_of

Work = dict[str, dict[str, float]]
"""Of each operator by name: `seconds` that it worked, `rows` that left it, `tables` that had rows."""
Beat = Callable[[], None]
"""To be called by whoever works long on one table: it is alive and getting on."""
PLACE = ("unit", "kind", "number", "shard", "ordinal", "key")
"""Columns that say where a row is from, of samples or of tasks."""
SHOWN = 3
"""Holders that a stall names, the longest first."""


@dataclass(frozen=True, slots=True)
class _Hold:
    operator: str
    place: str
    since: float


class Telling:
    """Tells a monitor what one worker holds and, when it lets go, for how many seconds it worked on it.

    Seconds are taken here, where the work is: messages to a monitor on another machine arrive late and in crowds.
    """

    def __init__(
        self, worker: str, begin: Callable[[str, str, str], object], end: Callable[[str, int, float], object]
    ) -> None:
        """worker: a name that a restart keeps. begin and end: those of the Monitor, or messages to it."""
        self._worker, self._begin, self._end = worker, begin, end
        self._began = time.perf_counter()

    def begin(self, operator: str, place: str) -> None:
        """place: what the worker holds from here on, in words (place_of)."""
        self._begin(self._worker, operator, place)
        self._began = time.perf_counter()

    def end(self, num_rows: int) -> None:
        """The worker has let go of its rows: they left the operator."""
        self._end(self._worker, num_rows, time.perf_counter() - self._began)


class Monitor:
    """Told of every table that an operator begins and ends."""

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}
        self._ended: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self._work: Work = {}
        self._opened: dict[int, float] = {}
        self._moved = time.monotonic()

    def begin(self, worker: str, operator: str, place: str) -> None:
        """worker: whoever holds the rows, by a name that a restart keeps. place: what they are (place_of)."""
        self._holds[worker] = _Hold(operator, place, time.monotonic())

    def end(self, worker: str, num_rows: int, seconds: float) -> None:
        """The worker has let go of its rows after so long: they left the operator."""
        hold = self._holds.pop(worker, None)
        if hold is not None:
            self._ended[hold.operator] = hold.place
            self._rows[hold.operator] += num_rows
            done = self._work.setdefault(hold.operator, {"seconds": 0.0, "rows": 0, "tables": 0})
            done["seconds"] += seconds
            done["rows"] += num_rows
            done["tables"] += num_rows > 0
        self._moved = time.monotonic()

    def hear(self, words: Sequence[tuple[Literal["begin", "end"], tuple[Any, ...]]]) -> None:
        """Several of these in one message."""
        for what, content in words:
            (self.begin if what == "begin" else self.end)(*content)

    def beat(self) -> None:
        """Something moved within a table."""
        self._moved = time.monotonic()

    def open(self, unit: int) -> None:
        """The first shard of a unit, by its number, is about to be read."""
        self._opened.setdefault(unit, time.monotonic())

    def news(self) -> tuple[Work, dict[int, float]]:
        """What was done since this was asked last, and how many seconds ago each unit was begun."""
        work, self._work = self._work, {}
        now = time.monotonic()
        return work, {unit: now - opened for unit, opened in self._opened.items()}

    def rows(self) -> dict[str, int]:
        """Rows that have left each operator so far, those of tries that were lost again among them."""
        return dict(self._rows)

    def held(self) -> str:
        """Who holds what, in words, the longest holder first; what a dead worker held is still its own."""
        holds = sorted(self._holds.values(), key=lambda hold: hold.since)[:SHOWN]
        now = time.monotonic()
        return "; ".join(f"{hold.operator} has held {hold.place} for {now - hold.since:.0f} s" for hold in holds)

    def stall(self, seconds: float) -> str | None:
        """Where everything stands, if nothing has moved for so long: one line for the user."""
        still = time.monotonic() - self._moved
        if still < seconds:
            return None
        if self._holds:
            return f"nothing has moved for {still:.0f} s: {self.held()}"
        last = "; ".join(f"{operator} last let go of {place}" for operator, place in self._ended.items())
        return f"nothing has moved for {still:.0f} s, and no operator holds any rows ({last or 'none ever did'})"


def place_of(table: pa.Table) -> str:
    """The rows of a table in words: the unit, and the last sample or file of it."""
    if not table.num_rows:
        return "no rows"
    columns = [name for name in PLACE if name in table.column_names]
    last: dict[str, Any] = table.slice(table.num_rows - 1).select(columns).to_pylist()[0]
    if "kind" in last:
        return f"unit {last['unit']}, {last['kind']} file {last['number']}"
    number = original_of(last["ordinal"])
    sample = f"sample {number} ({last['key']})" if last["key"] else f"the end behind sample {number}"
    return f"unit {last['unit']}, {table.num_rows} rows to {last['shard']}, {sample}"

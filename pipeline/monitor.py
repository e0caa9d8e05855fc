"""Knows which operator holds which rows and since when, so that a run in which nothing moves can say where it stands.

Ray has several ways to wait for ever without a word: an actor that is alive and does nothing, a task that vanished,
a pool that cannot be placed. A watchdog asks here how long ago anything moved.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.derived import original_of

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


class Monitor:
    """Told of every table that an operator begins and ends."""

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}
        self._ended: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self._moved = time.monotonic()

    def begin(self, worker: str, operator: str, place: str) -> None:
        """worker: whoever holds the rows, by a name that a restart keeps. place: what they are (place_of)."""
        self._holds[worker] = _Hold(operator, place, time.monotonic())

    def end(self, worker: str, num_rows: int) -> None:
        """The worker has let go of its rows: they left the operator."""
        hold = self._holds.pop(worker, None)
        if hold is not None:
            self._ended[hold.operator] = hold.place
            self._rows[hold.operator] += num_rows
        self._moved = time.monotonic()

    def beat(self) -> None:
        """Something moved within a table."""
        self._moved = time.monotonic()

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

"""Runs a task on rows in a child process, so that a row that kills or stalls it costs itself and nothing else.

A picture can take down the C code that decodes it, or hold it for ever where no Python exception reaches; left in a
Ray actor it is retried without end (19 deaths in 94 s), and without Ray it ends the run. Here it ends a child that
holds nothing. The child marks each row that it begins, so the row it died of is known without a search. The rows
before it, of which results may be lost, are done again, and then it alone: what dies twice is rejected, what survives
was not to blame.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from pipeline.errors import InputError, Reason, StorageError
from pipeline.monitor import Beat
from pipeline.operator import Row
from pipeline.placed import take, whole

GRACE_SECONDS = 30
"""A child that a timer of its own cannot end (it was stopped, say) is ended from outside so much later."""
FAULT = pa.field("fault", pa.struct([("kind", pa.string()), ("reason", pa.string()), ("detail", pa.string())]))
BEAT_SECONDS = 1.0
COUNTS = struct.Struct("3q")
"""Rows begun, rows done, and rows whose results are handed over."""
SAID_BYTES = 1 << 16
MAX_BLAMELESS = 3
"""Children in a row that may end while they work on no row: killed by chance, or unable to start."""
INPUT, STORAGE, BUG = "input", "storage", "bug"
"""Kinds of fault that a child reports: an InputError, a StorageError, or a mistake in the task itself."""


class Task(Protocol):
    """What is done to one row: built in the child from a module's name, a function's name and plain data."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of a result."""
        ...

    def __call__(self, row: Row) -> Row:
        """The result of one row. InputError and StorageError are handed back to whoever asked."""
        ...


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """How a child makes its task: `build(**options)` of a module. options: plain JSON values."""

    build: Callable[..., Task]
    """A function at the top of a module; the child imports it by name."""
    options: dict[str, Any]
    timeout_seconds: float
    max_bytes: int
    """Memory that the task may take before its allocations fail."""


Result = Row | InputError | StorageError
"""What one row gave: its result, or the error that its task raised. Large values of a Guard's are views of bytes."""


class Guard:
    """Maps tables row by row in a child, which is replaced when it dies."""

    def __init__(self, spec: TaskSpec, beat: Beat) -> None:
        """beat: called after each row, and after each death."""
        self._spec = spec
        self._beat = beat
        self._child: _Child | None = _Child(spec)  # at once: it loads what it needs while we load ours

    def __call__(self, table: pa.Table) -> list[Result]:
        """One result per row, in order. An error of either kind stands in its row's place; it is not raised.

        A row that ends two children gives InputError decode-crash or decode-timeout. StorageError if children end
        that no row has touched; RuntimeError if the task has a mistake.
        """
        results: list[Result] = []
        suspect: int | None = None
        num_blameless = 0
        while (start := len(results)) < table.num_rows:
            stop = table.num_rows if suspect is None else max(suspect, start + 1)
            if start == suspect:
                self._child = None  # in a child of its own: what another row did to that one is not its fault
            found, death = self._try(table.slice(start, stop - start))
            results += found
            if suspect is not None and len(results) > suspect:
                suspect = None
            if death is None:
                continue
            # Whoever killed a child between rows, or keeps it from starting, is no row.
            num_blameless = num_blameless + 1 if death.row is None else 0
            if num_blameless == MAX_BLAMELESS:
                raise StorageError(f"the process that decodes pictures cannot be kept alive ({death}); run again")
            if death.row is None:
                continue
            if start + death.row == suspect:
                results.append(self._fault(death))
                suspect = None
            else:
                suspect = start + death.row
        return results

    def _try(self, table: pa.Table) -> tuple[list[Result], _Death | None]:
        """Results of the first rows, and, if the child died before the last, how."""
        if self._child is None:
            self._child = _Child(self._spec)
        child, self._child = self._child, None  # one that is interrupted is not to be asked again
        results = list(child.map(table, self._spec.timeout_seconds + GRACE_SECONDS, self._beat))
        if len(results) == table.num_rows:
            self._child = child
            return results, None
        self._beat()
        return results, child.bury()

    def _fault(self, death: _Death) -> InputError:
        if death.code == -signal.SIGALRM:
            detail = f"took over {self._spec.timeout_seconds:g} s, twice; see limits.decode_timeout_seconds"
            return InputError(Reason.DECODE_TIMEOUT, detail)
        return InputError(Reason.DECODE_CRASH, f"ended its decoder by {death.how}, twice")


@dataclass(frozen=True, slots=True)
class _Death:
    """How a child ended. row: on which it worked; None: on none. said: the last that it wrote on standard error."""

    code: int
    row: int | None
    said: str

    @property
    def how(self) -> str:
        return f"signal {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"

    def __str__(self) -> str:
        return f"{self.how}: {self.said}" if self.said else self.how


class _Child:
    """One process, files that it shares with us, and a way for a byte in either direction.

    A table goes in by the first file, results come out by the second, the third counts rows (COUNTS), the fourth is its
    standard error. With the byte that tells it to begin it gets one more, for the large values of that table's results,
    which is there for as long as anybody holds one of them. A byte comes back at the end; one for every row woke both
    of us for every row.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self._files = files = tuple(_shared_file() for _ in range(4))
        os.truncate(files[2], COUNTS.size)
        fcntl.fcntl(files[3], fcntl.F_SETFL, os.O_APPEND)
        self._counts = mmap.mmap(files[2], COUNTS.size)
        self._control, theirs = socket.socketpair()
        orders = {
            "build": [spec.build.__module__, spec.build.__name__],
            "options": spec.options,
            "timeout_seconds": spec.timeout_seconds,
            "max_bytes": spec.max_bytes,
            "files": files[:3],
        }
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others reserve a gigabyte before they give one byte
            "OMP_NUM_THREADS": "1",
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.guard_child", json.dumps(orders)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=files[3],
                bufsize=0,
                env=environment,
                pass_fds=files[:3],
                start_new_session=True,  # Ctrl-C is for us; the child ends when our end of the socket closes
            )
        except OSError as error:
            self._control.close()
            for file in files:
                os.close(file)
            raise StorageError(f"cannot start a process to decode pictures in: {error.strerror}; run again") from error
        finally:
            theirs.close()
        self._close = weakref.finalize(self, _end, self._process, self._control, files)

    def map(self, table: pa.Table, patience_seconds: float, beat: Beat) -> Iterator[Result]:
        """Results of the rows, fewer than there are if the child dies; `patience_seconds` is the most for one row."""
        given, found, _, said = self._files
        for shared in (given, found, said):
            os.ftruncate(shared, 0)
        # By us: a child that is dead by now would leave the counts of the table before.
        COUNTS.pack_into(self._counts, 0, 0, 0, 0)
        with os.fdopen(os.dup(given), "r+b", buffering=0) as file, pa.ipc.new_stream(file, table.schema) as out:
            file.seek(0)
            out.write_table(table)
        large = _shared_file()
        try:
            with suppress(ConnectionError):
                socket.send_fds(self._control, [b"\n"], [large])
                self._wait(patience_seconds, beat)
            yield from self._results(self._rows()[2], large)
        finally:
            os.close(large)

    def _wait(self, patience_seconds: float, beat: Beat) -> None:
        """Returns when the child has done its table, or died, or done no row for so long."""
        num_done, moved = 0, time.monotonic()
        while time.monotonic() - moved < patience_seconds:
            if select.select([self._output], [], [], BEAT_SECONDS)[0]:
                os.read(self._output.fileno(), 1)
                return
            if self._rows()[1] > num_done:
                num_done, moved = self._rows()[1], time.monotonic()
                beat()

    def _rows(self) -> tuple[int, int, int]:
        """Rows of the table that are begun, done, and handed over."""
        begun, done, given = COUNTS.unpack_from(self._counts)
        return begun, done, given

    def _results(self, num_rows: int, large: int) -> Iterator[Result]:
        """The first so many results; behind them a row may be half written."""
        if not num_rows:
            return
        size = os.fstat(large).st_size
        content = memoryview(mmap.mmap(large, size, access=mmap.ACCESS_READ) if size else b"")
        stream = pa.ipc.open_stream(pa.py_buffer(mmap.mmap(self._files[1], 0, access=mmap.ACCESS_READ)))
        schema, end = whole(stream.schema), 0
        while num_rows:
            batch = stream.read_next_batch()
            num_rows -= batch.num_rows
            for row in batch.to_pylist():
                taken, end = take(row, schema, content, end)
                yield _result(taken)

    def bury(self) -> _Death:
        """Ends the child if it has not ended, and tells how it did."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:  # it neither works nor dies
            self._process.kill()
            self._process.wait()
            code = -signal.SIGALRM
        begun, done, _ = self._rows()
        lines = os.pread(self._files[3], SAID_BYTES, 0).decode(errors="replace").strip().splitlines()
        self._close()
        return _Death(code, done if begun > done else None, lines[-1] if lines else "")

    @property
    def _output(self) -> Any:
        return self._process.stdout


def _end(process: subprocess.Popen[bytes], control: socket.socket, files: tuple[int, ...]) -> None:
    process.kill()
    process.wait()
    control.close()
    if process.stdout is not None:
        process.stdout.close()
    for file in files:
        os.close(file)


def _shared_file() -> int:
    """An open file without a name: memory where the system has that, since pictures pass through it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lodepack")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _result(row: Row) -> Result:
    fault = row.pop("fault")
    if fault is None:
        return row
    if fault["kind"] == INPUT:
        return InputError(Reason(fault["reason"]), fault["detail"])
    if fault["kind"] == STORAGE:
        return StorageError(fault["detail"])
    raise RuntimeError(fault["detail"])


def run_here(task: Task, table: pa.Table) -> list[Result]:
    """What a Guard gives, without a child: for tasks that are trusted, and for tests of them."""
    results: list[Result] = []
    for row in table.to_pylist():
        try:
            results.append(task(row))
        except (InputError, StorageError) as error:
            results.append(error)
    return results

"""The process in which a Guard's task runs: it may die at any row, and everybody is prepared for it.

A byte on standard input, a socket, says that a table lies in the first shared file, and brings the file that large
values of results are appended to. The results themselves go to the second shared file, some at a time; the third counts
rows; a byte on standard output says that all are there. A timer of the system's ends the process when a row takes too
long, also where C code holds the interpreter. It ends by itself when the socket closes.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError, Reason, StorageError
from pipeline.guard import BUG, COUNTS, FAULT, INPUT, STORAGE, Task
from pipeline.heap import keep_heap
from pipeline.operator import Row
from pipeline.placed import place, placed
from pipeline.without_pandas import keep_pandas_out

HAND_OVER_SECONDS = 0.02
"""Results are handed over together that take no longer: one batch for each cost more than measuring a picture."""
ROWS = 8
"""Rows that become Python objects together: the encoded pictures of so many are held twice."""
OOM_SCORE = "1000"
"""Where memory runs out, the kernel takes the child before whoever is waiting for it."""


def main() -> None:
    """Serves one Guard, until its end of the socket closes."""
    orders: dict[str, Any] = json.loads(sys.argv[1])
    _limit(orders["max_bytes"])
    keep_heap()
    keep_pandas_out()
    module, name = orders["build"]
    task: Task = getattr(importlib.import_module(module), name)(**orders["options"])
    given, found, count = orders["files"]
    counts = mmap.mmap(count, COUNTS.size)
    output = _keep_output()
    schema = task.schema.append(FAULT)
    lean = placed(schema)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    control = socket.socket(fileno=0)
    while files := socket.recv_fds(control, 1, 1)[1]:
        os.lseek(found, 0, os.SEEK_SET)
        with (
            os.fdopen(files[0], "wb") as large,
            os.fdopen(os.dup(found), "wb", buffering=0) as file,
            pa.ipc.new_stream(file, lean) as results,
        ):

            def hand_over(rows: list[Row], number: int) -> None:
                large.flush()
                results.write_batch(pa.RecordBatch.from_pylist(rows, lean))
                COUNTS.pack_into(counts, 0, number, number, number)

            waiting: list[Row] = []
            written = time.monotonic()
            for number, row in enumerate(_rows(given), 1):
                COUNTS.pack_into(counts, 0, number, number - 1, number - 1 - len(waiting))
                signal.setitimer(signal.ITIMER_REAL, orders["timeout_seconds"])
                result = _run(task, row)
                signal.setitimer(signal.ITIMER_REAL, 0)
                COUNTS.pack_into(counts, 0, number, number, number - 1 - len(waiting))
                waiting.append(place(result, schema, large))
                if time.monotonic() - written > HAND_OVER_SECONDS:
                    hand_over(waiting, number)
                    waiting, written = [], time.monotonic()
            if waiting:
                hand_over(waiting, number)
        os.write(output, b"\n")


def _keep_output() -> int:
    """Standard output, for us alone: what a library prints there would pass for the end of a table."""
    output = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return output


def _limit(max_bytes: int) -> None:
    """Caps the memory of this process, as far as the system can: an allocation over it fails as a MemoryError."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    cap = max_bytes if most == resource.RLIM_INFINITY else min(max_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _rows(file: int) -> Iterator[Row]:
    for batch in pa.ipc.open_stream(pa.py_buffer(mmap.mmap(file, 0, access=mmap.ACCESS_READ))):
        for start in range(0, batch.num_rows, ROWS):
            yield from batch.slice(start, ROWS).to_pylist()


def _run(task: Task, row: Row) -> Row:
    empty = dict.fromkeys(task.schema.names)
    try:
        return task(row) | {FAULT.name: None}
    except InputError as error:
        if isinstance(error.__cause__, MemoryError):
            return empty | _out_of_memory()
        return empty | {FAULT.name: {"kind": INPUT, "reason": str(error.reason), "detail": error.detail}}
    except MemoryError:
        return empty | _out_of_memory()
    except StorageError as error:
        return empty | {FAULT.name: {"kind": STORAGE, "reason": "", "detail": str(error)}}
    except Exception:  # noqa: BLE001 - told to whoever asked, with its place
        return empty | {FAULT.name: {"kind": BUG, "reason": "", "detail": traceback.format_exc()}}


def _out_of_memory() -> Row:
    detail = "needs more memory than a picture of limits.max_image_pixels may take"
    return {FAULT.name: {"kind": INPUT, "reason": str(Reason.DECODE_CRASH), "detail": detail}}


if __name__ == "__main__":
    main()

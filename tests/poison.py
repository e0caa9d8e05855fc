"""A task that dies as decoders do; children import it by its name."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from pathlib import Path

import pyarrow as pa

from pipeline.errors import InputError, Reason, StorageError
from pipeline.operator import Row


class Trying:
    """Does what the row's word says, and otherwise counts its letters and says it again and again."""

    schema = pa.schema([("letters", pa.int32()), ("echo", pa.large_binary())])

    def __init__(self, *, notes: str) -> None:
        self._notes = Path(notes)
        self._words: list[str] = []

    def __call__(self, row: Row) -> Row:
        word = row["word"]
        self._words.append(word)
        with (self._notes / str(os.getpid())).open("a") as file:
            file.write(f"{word}\n")
        if word in DEEDS:
            DEEDS[word]()
        if word == "late" and "seed" in self._words:  # harm done by one row that kills at a later one
            os.abort()
        return {"letters": len(word), "echo": 1000 * word.encode()}


def bad() -> None:
    raise InputError(Reason.DECODE_ERROR, "a bad word")


def moved() -> None:
    raise StorageError("s3://bucket/shard.tar changed while it was read; run the job again")


def devour() -> None:
    held = [bytearray(64 << 20) for _ in range(1000)]
    held[0][0] = 1


def sleep_in_c() -> None:
    """Holds the interpreter, so that no thread of Python's and no handler runs."""
    ctypes.PyDLL(None).usleep(3_600_000_000)


DEEDS = {
    "exit": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "nap": lambda: time.sleep(0.5),
    "sleep": lambda: time.sleep(3600),
    "hold": sleep_in_c,
    "spin": lambda: re.match(r"(a+)+$", "a" * 60 + "b"),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "devour": devour,
    "print": lambda: os.write(1, b"......"),
    "bad": bad,
    "moved": moved,
    "bug": lambda: {}["gone"],
}

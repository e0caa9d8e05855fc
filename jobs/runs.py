"""The record of a run in OUT/runs: where, when and from what it read, and how it ended.

No byte of the data set depends on it. It is written when work begins and again when it ends, so that the record of a
run that was killed says that it never ended.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jobs.chain import Resolved
from jobs.secrets import redact
from jobs.spec import absolute
from jobs.stopping import Stopped
from pipeline import storage
from pipeline.errors import ConfigError, LodepackError
from pipeline.records import read_last_run
from pipeline.units import canonical_json


class RunRecord:
    """One run's record. `outcome` in it is null until the run ends, whichever way."""

    def __init__(self, output: str, resolved: Resolved) -> None:
        self._output = output
        self._began = datetime.now(UTC)
        self._places = {
            "tokenizer": absolute(resolved.job.tokenizer),
            "shards": {shard.name: shard.url for _, shards in resolved.inputs for shard in shards},
        }
        self._content: dict[str, Any] = {
            "started": self._began.isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": resolved.job.model_dump(mode="json"),
            "outcome": None,
            **self._places,
        }

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return round((datetime.now(UTC) - self._began).total_seconds(), 1)

    def tells_news(self) -> bool:
        """Whether the newest record has the shards or the tokenizer elsewhere: readers of the output look there."""
        try:
            last = read_last_run(self._output)
        except ConfigError:  # damaged: a new one helps its readers, and nothing of the data set depends on it
            return True
        return any(last.get(name) != place for name, place in self._places.items())

    def begin(self) -> None:
        self._write()

    def end(self, outcome: dict[str, Any]) -> None:
        """Adds what the run did."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._content["outcome"] = {"ended": ended, "seconds": self.seconds, **outcome}
        self._write()

    def fail(self, error: BaseException) -> None:
        """Adds why the run ended early, in one line; storage that fails here too must not hide it."""
        is_ours = isinstance(error, LodepackError | Stopped)
        line = " ".join(str(error).split()) if is_ours else type(error).__name__
        with suppress(LodepackError):
            self.end({"failure": redact(line)})

    def _write(self) -> None:
        name = f"{self._began:%Y%m%dT%H%M%S.%f}-{os.getpid()}.json"
        storage.overwrite(self._output, f"runs/{name}", canonical_json(self._content))

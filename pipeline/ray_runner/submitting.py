"""Ray's Jobs API: submissions, their logs and their ends as plain data, and its errors in one line each."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import _get_excludes, get_excludes_from_ignore_files
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from pipeline.errors import ConfigError, StorageError
from pipeline.ray_runner.answering import StalledError, answered

UPLOAD_SECONDS = 600.0
SILENT_SECONDS = 60.0
"""A log that says nothing for so long is asked for anew: of a connection that is half gone nobody hears."""
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")

Answer = TypeVar("Answer")


class UnreachableError(StorageError):
    """Nobody answers there, for the moment or for good."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job as the head knows it."""

    submission_id: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    exit_code: int | None
    """Of the driver; None while it runs, and where the cluster lost it or never started it."""
    message: str
    """What Ray says of the status."""
    metadata: Mapping[str, str]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Head:
    """The Jobs API of a cluster."""

    def __init__(self, address: str, certificates: str | None) -> None:
        """address: http(s)://host:port of the dashboard. certificates: a file or folder to trust, or the machine's own.

        UnreachableError if nobody answers, StorageError if it is no Jobs API, ConfigError if the token is wrong.
        """
        self.address = address
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):  # Ray's client would go there instead
            os.environ.pop(name, None)
        for name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = self._ask(lambda: JobSubmissionClient(address, verify=certificates or True))
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # the answer is not about a version
            raise self._stranger() from error

    def submissions(self) -> list[Submission]:
        """All that the head remembers."""
        return [_plain(found) for found in self._ask(self._client.list_jobs) if found.submission_id]

    def get(self, submission_id: str) -> Submission | None:
        """None if the head knows none of this id."""
        try:
            return _plain(self._client_call(lambda: self._client.get_job_info(submission_id)))
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise self._unexpected(error) from error

    def submit(
        self, submission_id: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]
    ) -> bool:
        """Uploads and starts a job; False if the head has one of this id already, whoever submitted it."""

        def ask() -> str:
            return self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env=dict(runtime_env),
                metadata=dict(metadata),
            )

        try:
            self._client_call(ask, UPLOAD_SECONDS)
        except RuntimeError as error:
            # Ray says with a traceback of its own that there is one. An id is given once, also to two at a time.
            if self.get(submission_id) is not None:
                return False
            raise self._unexpected(error) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"runtime environment: {_line(error)}") from error
        return True

    def stop(self, submission_id: str) -> None:
        """Asks the driver to end; it does so a while later. No error if it has ended already."""
        self._ask(lambda: self._client.stop_job(submission_id))

    def log(self, submission_id: str) -> str:
        """All that the driver has printed so far."""
        return self._ask(lambda: self._client.get_job_logs(submission_id))

    def tail(self, submission_id: str) -> Iterator[str]:
        """Pieces of the log, from its beginning on, as they come; ends with the job, or with the connection.

        Another thread reads: asyncio swallows what a signal raises while one of its callbacks runs.
        """
        pieces: queue.Queue[str | None] = queue.Queue()

        async def read() -> None:
            stream = self._client.tail_job_logs(submission_id)
            while True:
                pieces.put(await asyncio.wait_for(anext(stream), SILENT_SECONDS))

        def run() -> None:
            try:
                asyncio.run(read())
            except (StopAsyncIteration, aiohttp.ClientError, OSError, RuntimeError, ValueError):
                pass  # whoever listens asks for the job's state, and for what is missing
            finally:
                pieces.put(None)

        threading.Thread(target=run, daemon=True, name="lodepack-log").start()
        while (piece := pieces.get()) is not None:
            yield piece

    def _ask(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return self._client_call(ask)
        except RuntimeError as error:
            raise self._unexpected(error) from error

    def _client_call(self, ask: Callable[[], Answer], seconds: float = 0) -> Answer:
        """What `ask` returns. RuntimeError, ValueError and TypeError mean something else in every call."""
        try:
            return answered(ask, seconds)
        except StalledError as error:
            raise UnreachableError(f"{self.address} takes the question and gives no answer; check --address") from error
        except AuthenticationError as error:
            raise ConfigError(f"{self.address} {_refusal(error)}") from error
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ConfigError(f"certificates: {_line(error)}") from error
        except OSError as error:  # requests' own errors are of this kind
            raise self._absent(error) from error

    def _absent(self, error: OSError) -> StorageError:
        text = f"{error!r} {error.__context__!r}"
        if "HTTPError" in text or "JSON" in text:
            return self._stranger()
        if "SSL" in text or "certificate" in text.lower():
            return StorageError(
                f"{self.address}: no trusted https connection; check https or http, and name the cluster's "
                "certificates with --certificates FILE"
            )
        return UnreachableError(f"nobody answers at {self.address}; check --address, and that the cluster is up")

    def _stranger(self) -> StorageError:
        return StorageError(
            f"{self.address} is no dashboard of Ray with a Jobs API; the head's is expected, http://HEAD:8265"
        )

    def _unexpected(self, error: RuntimeError) -> StorageError:
        text = str(error)
        if "Version check returned 404" in text:
            return self._stranger()
        if "Ray version" in text:
            return StorageError(f"{self.address}: {_line(error)}")
        # A traceback of the head's may follow; its last line says what happened.
        last = (text.strip().splitlines() or [""])[-1].rstrip(".")
        kind = UnreachableError if "status code 5" in text else StorageError  # what is behind the dashboard is away
        return kind(f"{self.address} refuses: {last}")


def unignored_files(folder: Path, excludes: Sequence[str]) -> list[Path]:
    """Files below `folder` that Ray would upload: without what .gitignore, .rayignore, `excludes` and Ray leave out.

    excludes: in .gitignore's notation. Links to folders are not followed.
    """
    fixed = [*get_runtime_env_default_excludes(), *excludes]
    return sorted(_below(folder, [_get_excludes(folder, fixed)]))


def _below(folder: Path, ignored: list[Callable[[Path], bool]]) -> Iterator[Path]:
    quiet = logging.getLogger("ray._private.runtime_env.packaging")
    quiet.setLevel(logging.CRITICAL)
    ignored = [*ignored, *get_excludes_from_ignore_files(folder, include_gitignore=True, logger=quiet)]
    for path in folder.iterdir():
        if any(is_ignored(path) for is_ignored in ignored):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, ignored)
        elif path.is_file():
            yield path


def _plain(found: JobDetails) -> Submission:
    return Submission(
        submission_id=found.submission_id or "",
        status=str(found.status.value),
        exit_code=found.driver_exit_code,
        message=found.message or "",
        metadata=found.metadata or {},
    )


def _refusal(error: AuthenticationError) -> str:
    """What is wrong with the token; Ray's own message goes on for a page."""
    if "Authentication required" in str(error) or "no token" in str(error).lower():
        return "asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's"
    return "refuses this token; check RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and that both clusters are the same"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]

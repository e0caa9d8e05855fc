"""Submits a job, once: whoever submits it again follows the one that runs, or has the rest done of one that ended."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.clusters import give_token, refuse_open_cluster
from jobs.secrets import fault_of_url
from jobs.stopping import Stopped
from jobs.submit.following import Say, follow, stop
from jobs.submit.request import Request
from jobs.submit.upload import write_zip
from pipeline.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from pipeline.ray_runner.submitting import Head, Submission

ADDRESS = "RAY_API_SERVER_ADDRESS"
IDENTITY, OUTPUT = "lodepack.identity", "lodepack.output"
"""Names in the metadata of a submission."""
NAME_LETTERS = 40
CODES = (0, 1, 2)
"""With which a driver ends by itself."""


def checked_address(given: str | None, *, open_cluster: bool) -> str:
    """The address to submit to. ConfigError if there is none, it is no dashboard's, or no token is there to be sent."""
    address = given or os.environ.get(ADDRESS)
    if not address:
        raise ConfigError(f"no cluster to submit to; say --address http://HEAD:8265, or set {ADDRESS}")
    if fault := fault_of_url(address):
        raise ConfigError(f"{ADDRESS} is an address with {fault}; leave it out, and set RAY_AUTH_TOKEN")
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"address {address}: that of the head's dashboard is expected, such as http://HEAD:8265")
    if not open_cluster:
        refuse_open_cluster(address, os.environ, Path.home())
    give_token(os.environ, Path.home())
    return address.rstrip("/")


def submit(
    request: Request,
    address: str,
    certificates: str | None,
    *,
    wait: bool,
    cancel: bool,
    show: Say,
    notice: Say,
) -> dict[str, Any]:
    """Starts the job, or finds it running, and follows it to its end; what became of it.

    certificates: to trust for https. wait: otherwise it returns when the head has the job. cancel: a signal ends the
    job too, and not the following alone. show: is given the driver's log. notice: what we have to say.

    StorageError if the cluster cannot be reached, lost the job, or runs another one into this output.
    """
    from pipeline.ray_runner.submitting import Head

    head = Head(address, certificates)
    for place in request.shared:
        notice(f"{place}: every node must find the same there")
    submission_id, is_new = _put(head, request)
    notice(f"{submission_id} {'is submitted' if is_new else 'runs already: following it'} ({address})")
    done = {"submission": submission_id, "attached": not is_new, "address": address, "output": request.output}
    if not wait:
        notice("submit again without --no-wait to follow it, or: " + _ray(head, "logs --follow", submission_id))
        return done | {"status": _status(head, submission_id), "exit_code": None}
    try:
        ended = follow(head, submission_id, show, notice)
    except Stopped as stopped:
        status = _interrupted(head, submission_id, notice, cancel=cancel)
        return done | {"status": status, "exit_code": stopped.exit_code}
    return done | {"status": ended.status, "exit_code": _exit_code(ended, notice)}


def _put(head: Head, request: Request) -> tuple[str, bool]:
    """The id of the submission that does this work, and whether it is ours. Of two at a time one is told to follow."""
    identity = request.identity
    known = head.submissions()
    same = [found for found in known if found.metadata.get(IDENTITY) == identity]
    running = [found for found in same if not found.has_ended]
    if running:
        return max(running, key=_number).submission_id, False
    for other in known:
        if not other.has_ended and other.metadata.get(OUTPUT) == request.output:
            raise StorageError(
                f"{other.submission_id} runs at {head.address} into the same output with another job, other files or "
                f"other code; wait for it, or stop it: {_ray(head, 'stop', other.submission_id)}"
            )
    number = max(map(_number, same), default=0) + 1
    slug = re.sub(r"[^a-z0-9]+", "-", request.name.lower()).strip("-")[:NAME_LETTERS].rstrip("-") or "job"
    submission_id = f"lodepack-{slug}-{identity[:8]}-{number}"
    with tempfile.TemporaryDirectory(prefix="lodepack-") as folder:
        upload = Path(folder) / "upload.zip"
        write_zip(request.files, upload)
        environment = request.runtime_env | {"working_dir": str(upload)}
        metadata = {IDENTITY: identity, OUTPUT: request.output}
        return submission_id, head.submit(submission_id, request.entrypoint, environment, metadata)


def _number(found: Submission) -> int:
    return int(found.submission_id.rpartition("-")[2])


def _status(head: Head, submission_id: str) -> str:
    found = head.get(submission_id)
    return "PENDING" if found is None else found.status


def _interrupted(head: Head, submission_id: str, notice: Callable[[str], None], *, cancel: bool) -> str:
    """Ends the submission, or says how to go on with it; its status then."""
    if not cancel:
        notice(f"{submission_id} goes on; submit again to follow it, or stop it: {_ray(head, 'stop', submission_id)}")
        return _status(head, submission_id)
    notice(f"stopping {submission_id}")
    ended = stop(head, submission_id, notice)
    notice(f"{submission_id} has ended ({ended.status}); submit again to finish: what it committed is kept")
    return ended.status


def _exit_code(ended: Submission, notice: Say) -> int:
    """The driver's own, or 1 with a line of what happened to it."""
    if ended.status == "SUCCEEDED":
        return 0
    if ended.status == "STOPPED":
        notice(f"{ended.submission_id} was stopped; submit again to finish: what it committed is kept")
        return 1
    if ended.exit_code in CODES:
        return ended.exit_code or 1
    cause = f"its driver ended with {ended.exit_code}" if ended.exit_code is not None else _first_line(ended.message)
    notice(f"{ended.submission_id} was lost: {cause}; submit again to finish: what it committed is kept")
    return 1


def _first_line(message: str) -> str:
    return next((line.strip().rstrip(".") for line in message.splitlines() if line.strip()), "the cluster says no more")


def _ray(head: Head, what: str, submission_id: str) -> str:
    return f"ray job {what} --address {head.address} {submission_id}"

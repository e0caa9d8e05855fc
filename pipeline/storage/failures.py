"""What a store's refusal means: whether to ask again, and the one line that a user reads of it.

Lines are put together here from codes and numbers, never from options or request headers, which may hold a secret.
"""

from __future__ import annotations

import errno
from typing import Literal

from botocore.exceptions import (
    BotoCoreError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from pipeline.errors import RefusedError, StorageError
from pipeline.storage.addresses import bucket_and_key, is_s3

Doing = Literal["read", "write", "list", "create", "remove"]
FAILURES = (OSError, BotoCoreError)
"""What a store raises: s3fs makes an OSError of an answer it dislikes, and passes on what botocore says of none."""

_PERMANENT = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    NoCredentialsError,
    PartialCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_STATUS = 507
_FINAL = _FULL | {errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EXDEV}
"""Said by a local file system, and not otherwise a moment later."""
_PASSING_STATUS = {408, 409, 425, 429}
"""Timeouts, conflicts of two writers, and too many requests: the same question may be answered later."""
_FINAL_STATUS = {501, _FULL_STATUS}
_PASSING_CODES = {"SlowDown", "RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}
"""Answered with 400 by some stores: the body was damaged on its way, or they are busy."""
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_UNKNOWN_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthorizationHeaderMalformed"}
_ACTIONS = {
    "read": "s3:GetObject",
    "write": "s3:PutObject",
    "create": "s3:PutObject",
    "list": "s3:ListBucket",
    "remove": "s3:DeleteObject",
}


def answer_of(error: BaseException) -> tuple[int, str]:
    """The HTTP status and the code of S3's answer; (0, "") where there was none. A HEAD's code is its status."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status, str(response.get("Error", {}).get("Code", ""))


def is_transient(error: BaseException) -> bool:
    """Whether asking again may help."""
    status, code = answer_of(error)
    if status >= 400:
        is_passing = status in _PASSING_STATUS or code in _PASSING_CODES
        return is_passing or (status >= 500 and status not in _FINAL_STATUS)
    is_final = isinstance(error, _PERMANENT) or getattr(error, "errno", None) in _FINAL
    return isinstance(error, FAILURES) and not is_final


def is_full(error: BaseException) -> bool:
    """Whether there was no room for what was to be written."""
    return getattr(error, "errno", None) in _FULL or answer_of(error)[0] == _FULL_STATUS


def is_precondition(error: BaseException) -> bool:
    """Whether S3 refused a conditional write because the object exists."""
    return isinstance(error, FileExistsError) or answer_of(error)[1] in {"PreconditionFailed", "412"}


def why(error: BaseException) -> str:
    """What the error says, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def failure(url: str, doing: Doing, error: BaseException, *, tries: int = 1, size: int = 0) -> StorageError:
    """The error for the user. tries: made in all; size: bytes that were to be written."""
    if is_full(error):
        return RefusedError(f"{url}: no room to write {size:,} bytes ({_said(error)}); free some space, then run again")
    if is_s3(url) and (refusal := _refusal(url, doing, error)) is not None:
        return RefusedError(f"{url}: {refusal}; then run again to resume")
    if is_transient(error) and tries > 1:
        return StorageError(
            f"{url}: could not {doing} it in {tries} tries, the last one: {_said(error)}; "
            "check the network and the store, then run again to resume"
        )
    return StorageError(f"{url}: {_said(error)}; check the address, the permissions and the space left")


def _said(error: BaseException) -> str:
    status, code = answer_of(error)
    if not status:
        return why(error)
    return f"{status} {why(error)}" if code in {"", str(status)} else f"{status} {code}: {why(error)}"


def _refusal(url: str, doing: Doing, error: BaseException) -> str | None:
    """What S3 refused for good and what to do about it; None if it is something else."""
    bucket = bucket_and_key(url)[0]
    to_do = f"{doing} in bucket {bucket}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return f"no credentials to {to_do}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in"
    status, code = answer_of(error)
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket} to {doing}; make it, or mend the address"
    if code in _EXPIRED:
        return f"the credentials to {to_do} have expired ({code}); renew them"
    if code in _UNKNOWN_KEYS:
        return f"the store does not know the credentials to {to_do} ({code}); mend the access key and its secret"
    if code == "RequestTimeTooSkewed":
        return f"the store refused to {to_do}: this machine's clock is wrong ({code}); set it"
    if status == 403:
        return f"not allowed to {to_do} ({code}); grant {_ACTIONS[doing]} to these credentials, or renew them"
    return None

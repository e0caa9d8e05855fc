"""Requests to S3, each with a deadline and tried again here alone: s3fs and botocore make one try each.

Everything is a coroutine on fsspec's loop, where a stalled request can be cancelled and several wait at once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.errors import StorageError
from pipeline.storage.attempts import attempt_async
from pipeline.storage.clients import Object
from pipeline.storage.failures import FAILURES, Doing, answer_of, is_precondition
from pipeline.storage.traffic import count

T = TypeVar("T")

CHUNK_BYTES = 1 << 20
LEAST_BYTES_PER_SECOND = 1 << 16
"""A body that comes slower is stalled: without a floor, a byte a second would hold a unit for ever."""
UPLOAD_BYTES_PER_SECOND = 1 << 20
"""How much of an upload has gone is not told, so it gets time for its size: four parts at once go over 4 MiB/s."""


@dataclass(frozen=True, slots=True)
class Version:
    """What an object was when it was first asked for."""

    size: int
    etag: str


async def ask(
    place: Object,
    doing: Doing,
    method: str,
    arguments: Mapping[str, Any],
    *,
    size: int = 0,
    extra_seconds: float = 0,
    passing: type[OSError] = FileExistsError,
) -> Any:
    """The answer to one request without a body to read.

    size: bytes that the request carries; extra_seconds: what it needs beyond the time of any; passing: the error that
    comes as it is. Others are a StorageError.
    """

    async def once(seconds: float) -> Any:
        async with asyncio.timeout(seconds + extra_seconds + size / UPLOAD_BYTES_PER_SECOND):
            return await _call(place, method, arguments)

    return await attempt_async(
        place.url, doing, lambda seconds: _plain(once, seconds, place), size=size, passing=passing
    )


async def find(place: Object) -> Version | None:
    """What there is of that name."""
    try:
        answer = await ask(place, "read", "head_object", {"Key": place.key}, passing=FileNotFoundError)
    except FileNotFoundError:
        return None
    return Version(int(answer["ContentLength"]), str(answer.get("ETag", "")))


async def head(place: Object) -> Version:
    """StorageError if there is no such object."""
    if (version := await find(place)) is None:
        raise StorageError(f"{place.url}: no such object; check the address")
    return version


async def exists(place: Object) -> bool:
    """Whether there is an object of that name, or any below it; StorageError if there is no such bucket."""
    if place.key and await find(place) is not None:
        return True
    prefix = f"{place.key}/" if place.key else ""
    page = await ask(place, "list", "list_objects_v2", {"Prefix": prefix, "MaxKeys": 1})
    return not place.key or bool(page.get("Contents"))


async def list_keys(place: Object, prefix: str, delimiter: str = "") -> list[str]:
    """Keys that begin with `prefix`; with a delimiter, what stands behind the next one is left out, it itself kept."""
    pages = [page async for page in _pages(place, prefix, delimiter)]
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return keys + [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]


async def list_objects(place: Object, prefix: str, delimiter: str = "") -> list[dict[str, Any]]:
    """What S3 tells of each object (Key, Size, ETag, LastModified) whose key begins with `prefix`."""
    return [dict(entry) async for page in _pages(place, prefix, delimiter) for entry in page.get("Contents", [])]


async def _pages(place: Object, prefix: str, delimiter: str) -> AsyncIterator[Any]:
    more: dict[str, str] = {}
    while True:
        page = await ask(place, "list", "list_objects_v2", {"Prefix": prefix, "Delimiter": delimiter} | more)
        yield page
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


async def remove(place: Object) -> None:
    """Removes an object; one that is not there is as good."""
    await ask(place, "remove", "delete_object", {"Key": place.key})


async def get(place: Object, start: int = 0, end: int | None = None, version: Version | None = None) -> bytes:
    """The bytes from `start` to `end`, all of them: a shorter body is asked for again.

    StorageError if the object ends before, or is not the `version` that is given.
    """
    last = "" if end is None else str(end - 1)

    async def once(seconds: float) -> bytes:
        async with asyncio.timeout(seconds) as limit:
            begun = asyncio.get_running_loop().time()
            answer = await _call(place, "get_object", {"Key": place.key, "Range": f"bytes={start}-{last}"})
            total = _total(answer)
            stop = total if end is None else end
            latest = begun + seconds + (stop - start) / LEAST_BYTES_PER_SECOND
            chunks: list[bytes] = []
            try:
                if total < stop or (version and (total, answer.get("ETag", "")) != (version.size, version.etag)):
                    raise _changed(place)
                while chunk := await answer["Body"].read(CHUNK_BYTES):
                    chunks.append(chunk)
                    limit.reschedule(min(asyncio.get_running_loop().time() + seconds, latest))
            finally:
                answer["Body"].close()
        data = b"".join(chunks)
        if len(data) != stop - start:
            raise OSError(f"{len(data)} bytes came for {stop - start}")
        return data

    async def guarded(seconds: float) -> bytes:
        try:
            return await _plain(once, seconds, place)
        except OSError as error:
            if answer_of(error)[0] != 416:
                raise
            if start == 0 and end is None:  # an empty object has no first byte
                return b""
            raise _changed(place) from error

    data = await attempt_async(place.url, "read", guarded)
    count(requests=1, num_bytes=len(data))
    return data


async def put(place: Object, data: bytes) -> None:
    """Writes an object in one request."""
    await ask(place, "write", "put_object", {"Key": place.key, "Body": data}, size=len(data))


async def create(place: Object, data: bytes) -> bool:
    """Writes an object that is not there yet; False if it is.

    When an answer gets lost, the request is sent again and finds the object there: it is ours if it bears our mark.
    Counting our tries would not do: aiohttp too sends a request again whose connection it had used before.
    """
    mark = uuid.uuid4().hex
    arguments = {"Key": place.key, "Body": data, "IfNoneMatch": "*", "Metadata": {"writer": mark}}
    try:
        await ask(place, "create", "put_object", arguments, size=len(data))
    except FileExistsError:
        answer = await ask(place, "read", "head_object", {"Key": place.key})
        return bool(answer.get("Metadata", {}).get("writer") == mark)
    return True


async def _call(place: Object, method: str, arguments: Mapping[str, Any]) -> Any:
    call = place.fs._call_s3  # noqa: SLF001 - what its call_s3 runs
    try:
        return await call(method, Bucket=place.bucket, **arguments)
    except OSError as error:
        if method == "head_object" and answer_of(error)[0] in {400, 403}:  # no body came that says why; now one will
            (await call("get_object", Bucket=place.bucket, Key=place.key, Range="bytes=0-0"))["Body"].close()
        raise


async def _plain(once: Callable[[float], Awaitable[T]], seconds: float, place: Object) -> T:
    """`once(seconds)`, whose errors are OSErrors: those of a broken answer are aiohttp's, or of botocore's parser."""
    from s3fs.core import S3_RETRYABLE_ERRORS  # a second that local runs need not pay

    await place.fs.set_session()
    try:
        return await once(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer for {seconds:g} s") from error
    except FAILURES as error:
        if is_precondition(error):
            raise FileExistsError(place.url) from error
        raise
    except S3_RETRYABLE_ERRORS as error:
        raise ConnectionError(str(error)) from error


def _total(answer: Any) -> int:
    """Bytes of the whole object of which the answer gives a range."""
    _, _, total = str(answer.get("ContentRange", "")).rpartition("/")
    return int(total) if total.isdigit() else int(answer["ContentLength"])


def _changed(place: Object) -> StorageError:
    return StorageError(f"{place.url} changed while it was read; run the job again")

"""Large files go to S3 in parts, which nobody sees before the last one is there; what killed runs left is found."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import StorageError
from pipeline.storage import clients, s3
from pipeline.storage.addresses import is_s3, join
from pipeline.storage.attempts import attempt_async

PART_BYTES = 1 << 24
"""A file of two parts or more goes to S3 in parts."""
PARTS_AT_ONCE = 4
"""64 MiB in memory."""
MAX_PARTS = 10_000
"""S3 takes no more; a file of over 156 GiB has larger parts."""
ABORT_SECONDS = 10
COMPLETING_SECONDS = 30
"""Putting the parts together may take S3 long; cut short, the answer would be lost that says that it was done."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that was begun and neither finished nor given up."""

    path: str
    """Of the object that it was to become, relative to the root that was asked for."""
    started: datetime
    """With its time zone."""
    upload_id: str


def unfinished_uploads(root: str) -> list[Upload]:
    """Uploads below `root`, by path, of living runs too: look at their age. None outside S3."""
    if not is_s3(root):
        return []
    place = clients.locate(root)
    return clients.run(place, _unfinished(place))


def abort_upload(root: str, upload: Upload) -> None:
    """Gives an upload up: the store drops its parts. One that is gone already is no error."""
    place = clients.locate(join(root, upload.path))
    clients.run(place, _abort(place, upload.upload_id))


async def _unfinished(place: clients.Object) -> list[Upload]:
    prefix = f"{place.key}/" if place.key else ""
    found: list[Upload] = []
    more: dict[str, str] = {}
    while True:
        page = await s3.ask(place, "list", "list_multipart_uploads", {"Prefix": prefix} | more)
        found += [
            Upload(entry["Key"].removeprefix(prefix), entry["Initiated"], entry["UploadId"])
            for entry in page.get("Uploads", [])
            if entry["Key"].startswith(prefix)
        ]
        if not page.get("IsTruncated"):
            return sorted(found, key=lambda upload: (upload.path, upload.started, upload.upload_id))
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


async def _abort(place: clients.Object, upload_id: str) -> None:
    arguments = {"Key": place.key, "UploadId": upload_id}
    with suppress(FileNotFoundError):
        await s3.ask(place, "write", "abort_multipart_upload", arguments, passing=FileNotFoundError)


async def put_parts(place: clients.Object, source: Path, size: int) -> None:
    """Uploads a file of `size` bytes in parts.

    An upload that was put together and whose answer got lost is known by its object; if not, all is done again.
    """

    async def once(_: float) -> None:
        begun = await s3.ask(place, "write", "create_multipart_upload", {"Key": place.key})
        upload_id = begun["UploadId"]
        try:
            etags = await _put_all(place, source, size, upload_id)
            parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
            await _complete(place, upload_id, parts, size)
        except BaseException:
            with suppress(StorageError, TimeoutError):  # it may be the network that is gone
                async with asyncio.timeout(ABORT_SECONDS):
                    await _abort(place, upload_id)
            raise

    await attempt_async(place.url, "write", once, size=size)


async def _put_all(place: clients.Object, source: Path, size: int, upload_id: str) -> list[str]:
    """The ETags of the parts."""
    part_bytes = max(PART_BYTES, -(-size // MAX_PARTS))
    room = asyncio.Semaphore(PARTS_AT_ONCE)

    async def put(number: int, offset: int) -> str:
        async with room:
            data = await asyncio.to_thread(_read, source, offset, part_bytes)
            arguments = {"Key": place.key, "UploadId": upload_id, "PartNumber": number, "Body": data}
            answer = await s3.ask(place, "write", "upload_part", arguments, size=len(data))
        return str(answer["ETag"])

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(put(i, offset)) for i, offset in enumerate(range(0, size, part_bytes), start=1)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _read(source: Path, offset: int, size: int) -> bytes:
    with source.open("rb") as file:
        file.seek(offset)
        return file.read(size)


async def _complete(place: clients.Object, upload_id: str, parts: list[dict[str, Any]], size: int) -> None:
    """Makes the object of its parts. OSError if the upload is gone and the object is not what it should have become."""
    arguments = {"Key": place.key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
    seconds, method = COMPLETING_SECONDS, "complete_multipart_upload"
    try:
        await s3.ask(place, "write", method, arguments, extra_seconds=seconds, passing=FileNotFoundError)
    except FileNotFoundError as error:  # a try before came through, and its answer did not; or somebody gave it up
        if await s3.find(place) != s3.Version(size, _etag(parts)):
            raise OSError("the upload was gone before it was put together") from error


def _etag(parts: list[dict[str, Any]]) -> str:
    """The ETag that S3 gives an object of these parts."""
    digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'

"""URLs and local paths: which is which, and how they are put together."""

from __future__ import annotations

from pathlib import Path


def is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    return Path(url.removeprefix("file://"))


def is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def bucket_and_key(url: str) -> tuple[str, str]:
    """Of an S3 URL; the key has no slash at its ends and is empty if the URL names the bucket alone."""
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key.strip("/")


def join(root: str, *parts: str) -> str:
    """`root` and `parts` with single slashes between them."""
    return "/".join([root.rstrip("/"), *parts])

"""What every format agrees on: how a member's name gives key and field, and which fields nobody ever opens."""

from __future__ import annotations

from typing import Protocol

from pipeline.tar import Member
from pipeline.types import Sample

IMAGE_FIELDS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
UNSAFE_FIELDS = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
"""Loading one can run code of whoever wrote the shard. A sample that has one is rejected, its bytes unread."""


class Format(Protocol):
    """How members that stand together in a shard become one document."""

    @property
    def name(self) -> str: ...

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        """(key, field) of a member, or None if its name has no extension."""
        ...

    def wanted(self, field: str) -> bool:
        """Whether the format needs the bytes of such a member."""
        ...

    def to_sample(self, key: str, members: list[Member]) -> tuple[Sample, int]:
        """The document, and how many of `members` it has no use for.

        Raises InputError where the members make no document. Where its segments are known and one of them is
        bad, the sample comes with all of them and a rejection. Every wanted member has its data.
        """
        ...


def split_extension(member_name: str) -> tuple[str, str] | None:
    """(key, field): the field is what follows the last dot of the base name, lower-cased; the key is all before it.

    So folders and dots stay in the key: `a/2024.01.05_cat.JPG` is field `jpg` of `a/2024.01.05_cat`. Hidden files
    and names without an extension give None.
    """
    folder, slash, base = member_name.rpartition("/")
    stem, _, extension = base.rpartition(".")
    if not stem or not extension or base.startswith("."):
        return None
    return f"{folder}{slash}{stem}", extension.lower()

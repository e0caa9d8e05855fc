"""What all formats agree on: how names give keys and fields, what is one sample, what nobody opens, how JSON reads."""

from __future__ import annotations

import json
from typing import Any, Protocol

from pipeline.errors import InputError, Reason
from pipeline.tar import Member
from pipeline.types import Sample

IMAGE_FIELDS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
UNSAFE_FIELDS = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
"""Loading one can run code of whoever wrote the shard. A sample that has one is rejected, its bytes unread."""


class Format(Protocol):
    """How members of one key that stand together in a shard become one document."""

    @property
    def name(self) -> str: ...

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        """(key, field) of a member by itself, or None if its name has no extension."""
        ...

    def wanted(self, field: str) -> bool:
        """Whether the format needs the bytes of such a member."""
        ...

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
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


def join_keys(one: str, other: str) -> str | None:
    """The key of the sample that two adjacent members are of, by their own keys; None if they are of two.

    They are of one sample if the key of one, followed by a dot, begins the other's name in the same folder. The
    shorter key is the sample's, which the next member is held against, and what follows it in a longer name is that
    member's compound field, lower-cased: `000.jpg`, `000.meta.json`, `000.txt` in any order are the fields jpg,
    meta.json and txt of `000`; `2024.01.05_cat.jpg`, `2024.01.05_cat.txt` keep their dotted key. (`000.a.json`,
    `000.b.json` know of no `000` before a member of it has come, and are of two samples unless it came first.)
    A compound field whose last extension the format does not want is ignored and counted. One that it wants would be
    a second content and rejects the sample, because a further picture looks like a sample of a dotted key (`1.1.jpg`
    beside `1.jpg`).
    """
    shorter, longer = sorted((one, other), key=len)
    rest = longer[len(shorter) :]
    return shorter if longer.startswith(shorter) and (not rest or (rest[0] == "." and "/" not in rest)) else None


def invalid(
    member: Member, detail: str, segment: int | None = None, reason: Reason = Reason.FIELD_INVALID
) -> InputError:
    """What makes a sample's member, or the segment of that number in it, unfit."""
    return InputError(reason, detail, member=member.name, offset=member.offset, size=member.size, segment=segment)


def too_many(member: Member, num_segments: int, max_segments: int) -> InputError:
    """What makes a document unfit whose JSON asks for more texts and images than a sample may have."""
    detail = f"{member.name} makes {num_segments} texts and images; limits.max_sample_members allows {max_segments}"
    return invalid(member, detail, reason=Reason.SAMPLE_TOO_LARGE)


def read_json(member: Member) -> Any:
    """The value that a JSON member holds. InputError if it is not UTF-8 or no JSON.

    Python's own rules hold: the last of two equal names counts; NaN and Infinity are numbers; a byte order mark, an
    integer of over 4,300 digits and about a thousand lists in each other are no JSON that can be read.
    """
    try:
        return json.loads((member.data or b"").decode("utf-8"))
    except UnicodeDecodeError as error:
        detail = f"{member.name} is not UTF-8 from its byte {error.start} on"
        raise invalid(member, detail, reason=Reason.TEXT_INVALID) from error
    except (ValueError, RecursionError) as error:
        raise invalid(member, f"{member.name} is no JSON that can be read: {error}") from error

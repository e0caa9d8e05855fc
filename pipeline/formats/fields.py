"""What all formats agree on: how names give keys and fields, what is one sample, what nobody opens, how JSON reads."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

from pipeline.errors import InputError, Reason
from pipeline.tar import Member
from pipeline.types import Sample

IMAGE_FIELDS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
UNSAFE_FIELDS = frozenset({"pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill"})
"""Loading one can run code of whoever wrote the shard. A sample that has one is rejected, its bytes unread."""
NOTHING: frozenset[str] = frozenset()
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which JSON can say and UTF-8 cannot."""


class Format(Protocol):
    """How members of one key that stand together in a shard become one document, and a document such members."""

    @property
    def name(self) -> str: ...

    @property
    def marks(self) -> str:
        """What its JSON has, as it follows "0000.json, which"."""
        ...

    @property
    def optional(self) -> frozenset[str]:
        """Wanted fields that a sample may do without: one that is too large, or of another key, is passed over."""
        ...

    @property
    def json_has_pictures(self) -> bool:
        """Whether pictures stand in its JSON, so that it is held to the limits of a picture; what is left, of a text.

        See pipeline.formats.carried.
        """
        ...

    def split_name(self, member_name: str) -> tuple[str, str] | None:
        """(key, field) of a member by itself, or None if its name has no extension."""
        ...

    def wanted(self, field: str) -> bool:
        """Whether the format needs the bytes of such a member."""
        ...

    def to_sample(self, key: str, members: list[Member], max_segments: int) -> tuple[Sample, int]:
        """The document, and how many of `members` it has no use for.

        Raises InputError where the members make no document. Where its segments are known and one of them is
        bad, the sample comes with all of them and a rejection. Every wanted member has its data, unless it is optional.
        """
        ...

    def to_members(self, document: Sample) -> list[tuple[str, bytes]]:
        """The way back: names and bytes of members that give this document again, in the published layout.

        document: sound, as to_sample of this format gives it, with the data of its pictures.
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


def split_number(member_name: str) -> tuple[str, str] | None:
    """As split_extension, but the number before an image's extension is of the field: `0.png` of `KEY.0.png`."""
    split = split_extension(member_name)
    if split is None or split[1] not in IMAGE_FIELDS:
        return split
    key, _, number = split[0].rpartition(".")
    if not key or not (number.isascii() and number.isdigit()):
        return split
    return key, f"{number}.{split[1]}"


def split_first_dot(member_name: str) -> tuple[str, str] | None:
    """(key, field) as WebDataset has them: the field is all that follows the first dot of the base name.

    So a picture may have any name in its sample, `KEY.2345ew.jpg`, and a key has no dot.
    """
    if split_extension(member_name) is None:
        return None
    folder, slash, base = member_name.rpartition("/")
    stem, _, field = base.partition(".")
    return f"{folder}{slash}{stem}", field.lower()


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


def extension_of(member_name: str) -> str:
    """What follows the last dot of a name, lower-cased: `png` of `k.0.PNG` and of the field `0.png`."""
    return member_name.rpartition(".")[2].lower()


def invalid(
    member: Member, detail: str, segment: int | None = None, reason: Reason = Reason.FIELD_INVALID
) -> InputError:
    """What makes a sample's member, or the segment of that number in it, unfit."""
    return InputError(reason, detail, member=member.name, offset=member.offset, size=member.size, segment=segment)


def too_many(member: Member, num_segments: int, max_segments: int) -> InputError:
    """What makes a document unfit whose JSON asks for more texts and images than a sample may have."""
    detail = f"{member.name} makes {num_segments} texts and images; limits.max_sample_members allows {max_segments}"
    return invalid(member, detail, reason=Reason.SAMPLE_TOO_LARGE)


def read_json(member: Member, data: bytes | None = None) -> Any:
    """The value that a JSON member holds. InputError if it is not UTF-8 or no JSON.

    data: what to read instead of the member's own. Python's own rules hold: the last of two equal names counts; NaN
    and Infinity are numbers; a byte order mark, an integer of over 4,300 digits and about a thousand lists in each
    other are no JSON that can be read.
    """
    try:
        return json.loads(((member.data or b"") if data is None else data).decode("utf-8"))
    except UnicodeDecodeError as error:
        detail = f"{member.name} is not UTF-8 from its byte {error.start} on"
        raise invalid(member, detail, reason=Reason.TEXT_INVALID) from error
    except (ValueError, RecursionError) as error:
        raise invalid(member, f"{member.name} is no JSON that can be read: {error}") from error


def read_object(member: Member, data: bytes | None = None) -> dict[str, Any]:
    """The same, where it must be an object."""
    value = read_json(member, data)
    if not isinstance(value, dict):
        raise invalid(member, f"{member.name} holds no object")
    return value


def to_json(value: Any) -> bytes:
    """A value as the JSON of a member; in ASCII, so that any text can be said."""
    return json.dumps(value).encode()

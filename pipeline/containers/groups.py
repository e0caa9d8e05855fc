"""What every container gives of a shard: groups of members, one a sample, and the places of damage between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pipeline.errors import InputError, Reason
from pipeline.formats import Format
from pipeline.formats.fields import IMAGE_FIELDS, extension_of
from pipeline.tar import Damage, Member
from pipeline.tar_stream import HashingReader
from pipeline.types import MAX_NAME_BYTES, ReadLimits, Rejection, Sample

KEY_DIGITS = 8
"""A line or a row has its number, from 0, as its key; so padded, a hundred million of them sort as they stand."""


@dataclass(slots=True)
class Group:
    """Members of one sample; its key gets shorter with them. is_split if the key has ended before in this shard.

    Of a sample that is over a limit the member that made it so is all that is kept, without its data.
    """

    key: str
    is_split: bool = False
    members: list[Member] = field(default_factory=list)
    num_members: int = 0
    num_bytes: int = 0
    """Of the members that the format asks for, but for those that are too large by themselves."""
    is_over: bool = False
    hint: str = ""
    """What to say instead where the format misses a member: the container knows why it is not there."""

    def add(self, member: Member, num_bytes: int, limits: ReadLimits) -> None:
        """num_bytes: of the member, as far as they count for the sample."""
        self.num_members += 1
        self.num_bytes += num_bytes
        if self.is_over:
            return
        self.members.append(member)
        self.is_over = self.num_members > limits.sample_members or self.num_bytes > limits.sample_bytes
        if self.is_over:
            self.members = [replace(member, data=None)]

    def holds(self, num_bytes: int, limits: ReadLimits) -> bool:
        """Whether the sample stays within its limit with a member of so many bytes more."""
        return not self.is_over and self.num_bytes + num_bytes <= limits.sample_bytes


Groups = Callable[[HashingReader, int | None, Format, ReadLimits], Iterator[Group | Sample]]
"""What becomes one row each: groups of members, and, after the group they fell into, the places of damage.

Given a shard from its start and its size in bytes where known. When the last is given, all of the shard is hashed.
"""


def split_name(name: str, form: Format) -> tuple[str, str] | None:
    """Key and field of a member by itself; None for a name that no sample can have."""
    if to_utf8(name) != name or len(name.encode()) > MAX_NAME_BYTES:
        return None
    return form.split_name(name)


def fits(last: str, num_bytes: int, form: Format, limits: ReadLimits) -> bool:
    """Whether a member of that field by itself is content and within the limits of one member."""
    is_text = extension_of(last) not in IMAGE_FIELDS and not form.json_has_pictures
    return form.wanted(last) and num_bytes <= limits.member_bytes and not (is_text and num_bytes > limits.text_bytes)


def to_rejected(item: Member | Damage) -> Sample:
    """The row of a damage, or of a member that no sample can have for its name."""
    if isinstance(item, Damage):
        error = InputError(item.reason, item.detail, offset=item.offset, size=item.size)
    else:
        detail = f"{item.name:.80} is no name for a member; at most {MAX_NAME_BYTES} bytes of UTF-8 with an extension"
        error = InputError(Reason.NAME_INVALID, detail, member=item.name, offset=item.offset, size=item.size)
    return Sample(f"@{item.offset}", (), Rejection.from_error("read", error))


def to_utf8(text: str) -> str:
    """`text` as Arrow takes it: what is not Unicode is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

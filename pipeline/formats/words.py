"""The one text of a sample beside pictures or alone: `KEY.txt`, or a named text of `KEY.json` where there is no txt."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import Reason
from pipeline.formats.fields import invalid, read_object
from pipeline.tar import Member

WORDS = frozenset({"txt", "json"})


def find_words(key: str, fields: Sequence[tuple[str, Member]], name: str) -> tuple[Member, str | None]:
    """The member that has the text, and the text: None if it is not UTF-8. A txt counts; then no JSON is looked at.

    name: of the text in a JSON. InputError where there is none, or two of one kind.
    """
    first = fields[0][1]
    texts = [member for field, member in fields if field == "txt"] or [m for field, m in fields if field == "json"]
    if len(texts) > 1:
        raise invalid(texts[1], f"{key} has {len(texts)} members for its text (txt); one expected")
    if not texts:
        raise invalid(first, f"{key} has no text: no txt, and no json with {name}", reason=Reason.FIELD_MISSING)
    (member,) = texts
    if member.name.lower().endswith(".txt"):
        try:
            return member, (member.data or b"").decode("utf-8")
        except UnicodeDecodeError:
            return member, None
    if member.data is None:
        detail = f"{member.name} has {member.size} bytes, and there is no txt; see limits"
        raise invalid(member, detail, reason=Reason.TEXT_TOO_LARGE)
    text = read_object(member).get(name)
    if text is None:
        raise invalid(member, f"{key} has no txt, and {member.name} no {name}", reason=Reason.FIELD_MISSING)
    if not isinstance(text, str):
        raise invalid(member, f"{name} of {member.name} is no text")
    return member, text

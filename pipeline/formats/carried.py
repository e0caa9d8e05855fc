"""Pictures that a JSON carries in base64: where their characters stand, and the JSON without them.

A JSON with pictures has a hundred times the bytes of its text. Cut out before it is parsed, they cost one pass, and
what is left is held to the limit of any text: a hostile one cannot grow twentyfold in the memory.
"""

from __future__ import annotations

import re

CARRIED = re.compile(rb'"image_base64"[ \t\r\n]*:[ \t\r\n]*"([A-Za-z0-9+/]++={0,2})"')
"""Two quotes with no more than a colon between them end a name and begin a text in any JSON, never within one."""


def cut_pictures(data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The JSON with the number of its range instead of each picture's characters; and the ranges, (start, end).

    What is written with escapes, as some write each slash, or is no base64 stays as it was: no range holds it.
    """
    ranges: list[tuple[int, int]] = []
    parts: list[bytes] = []
    end = 0
    for match in CARRIED.finditer(data):
        parts += (data[end : match.start(1)], b"%d" % len(ranges))
        ranges.append(match.span(1))
        end = match.end(1)
    return b"".join([*parts, data[end:]]), ranges


def text_bytes(data: bytes) -> int:
    """How many bytes of a JSON are no picture's."""
    return len(data) - sum(match.end(1) - match.start(1) for match in CARRIED.finditer(data))

"""Text of a data set, a job or a server as a terminal may have it."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what would steer the terminal replaced; line breaks and tabs stay."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)

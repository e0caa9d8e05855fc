"""Lists of words: those that ship, and files of the user's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from operators.filters.wording import words

LISTS = Path(__file__).with_name("lists")


@lru_cache(16)
def read_words(path: str) -> frozenset[str]:
    """The words of a list, cut and casefolded as texts are. ValueError in one line if there is no such file or word."""
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fault = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"no word list at {path}: {fault}; give a text file of words") from error
    found = frozenset(word for line in lines if not line.lstrip().startswith("#") for word in words(line))
    if not found:
        raise ValueError(f"word list {path} is empty; give a text file of words")
    return found

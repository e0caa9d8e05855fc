"""An image and its reduction as the checks of methods see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
Grid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose reduction is sound by itself."""

    reduction: Row
    grids: tuple[Grid, ...]
    """Rows and columns of the n tokens that it has without."""
    views: Sequence[Row]
    """Of its plan."""
    of_token: Sequence[int]
    """The view of each of the n tokens."""
    document: str
    """shard/key#ordinal."""
    number: int
    """Among its document's images."""
    count: int
    """Images of its document."""

    @property
    def num_tokens(self) -> int:
        return len(self.of_token)

    @property
    def num_kept(self) -> int:
        found: int = self.reduction["num_kept"]
        return found


Check = Callable[[Mapping[str, Any], Image], Iterator[str]]
"""What is untrue of an image for a method of its job, whose settings the first argument has."""


def share(num_tokens: int, of: Fraction) -> int:
    """That share of so many tokens, rounded down, but one at least."""
    return max(1, int(num_tokens * of))

"""What a method of reduction sees of an image, and what it asks of the trainer: indices and counts, never a feature."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Grid = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """The n visual tokens of one image, in the order of its sequence: those that features of the encoder replace.

    Markers and newlines are none. The tokens of a view are in raster order.
    """

    grids: tuple[Grid, ...]
    """Of each view; n is the sum of rows x cols. Once tokens were merged they are no grid any more: empty."""
    kinds: tuple[str, ...]
    """Of each view: whole, tile, region, frame (pipeline.types.View)."""
    places: tuple[Grid, ...]
    """Row and column of each view among the views of its kind."""
    scores: Ints | None = None
    """[n] How well each token answers what its image is asked; integers, so that no device decides."""
    salience: Ints | None = None
    """[n] How much each token stands out, whatever is asked: what CLS attention is to methods that have it."""
    features: Ints | None = None
    """[n, d] What each token shows (features.py), small integers: their products are exact."""
    identity: str = ""
    """Of the image, for seeded draws: shard, key, ordinal and number."""
    document: str = ""
    """Of its document, for draws that all its images share: shard, key and ordinal."""
    number: int = 0
    """Among its document's images, from 0."""
    count: int = 1
    """Images of its document."""
    has_marks: bool = False
    """Whether marks of its family, such as line breaks, stand between them."""

    @property
    def num_tokens(self) -> int:
        if self.grids:
            return sum(rows * cols for rows, cols in self.grids)
        given = next(values for values in (self.scores, self.salience, self.features) if values is not None)
        return len(given)


@dataclass(frozen=True, slots=True)
class Clusters:
    """Tokens that a layer drops and recycles: each cluster's mean is one token behind those that stay."""

    layer: int
    members: Ints
    """[m] Places among the kept tokens."""
    groups: Ints
    """[m] The cluster of each, 0..c-1."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What becomes of one image's n tokens. What is None is not asked for.

    Of n tokens k have a place in the sequence, in its order and at the positions that they have there without any
    reduction. Everything that happens inside the language model speaks of places among these k.
    """

    methods: tuple[str, ...]
    num_tokens: int
    """n."""
    grids: tuple[Grid, ...] = ()
    """Rows and columns of each view before."""
    restore: Ints | None = None
    """[n] The slices as one raster: token restore[i] stands at place i of it."""
    kept: Ints | None = None
    """[k] Tokens that keep their place, ascending; None: all."""
    groups: Ints | None = None
    """[n] Which kept token (0..k-1) each token is averaged into, -1: none."""
    shares: npt.NDArray[np.float32] | None = None
    """[n] Weight of each token in that average; None: equal ones."""
    window: Ints | None = None
    """[k, w] Tokens whose features are joined, channel-major, into each kept one."""
    pools: tuple[Grid, ...] | None = None
    """Rows and columns that each view is pooled to (adaptive average pooling)."""
    order: Ints | None = None
    """[k] Places among the kept tokens, the best first. One order serves all layers."""
    schedule: tuple[tuple[int, int], ...] | None = None
    """(layer, tokens): before that layer, from 0, so many of `order` are left; ascending layers, never more tokens."""
    clusters: tuple[Clusters, ...] = ()
    expand: tuple[int, int] | None = None
    """(layer, tokens): before that layer the k tokens are interpolated to so many."""
    decay: tuple[tuple[int, int], ...] | None = None
    """(answer token, tokens): from that token of an answer on, it sees so many of `order`."""

    @property
    def num_kept(self) -> int:
        """How many have a place in the sequence (k)."""
        return self.num_tokens if self.kept is None else len(self.kept)

    def then(self, later: Reduction) -> Reduction:
        """Both: what the later one asks for of the tokens that this one keeps. They ask for different things.

        Where both rank them, the order of this one stays: its schedule counts on it, and a decay takes any prefix.
        """
        given = {name: value for name in ASKED if (value := getattr(later, name)) is not None and len(value)}
        if self.order is not None:
            given.pop("order", None)
        return replace(self, methods=(*self.methods, *later.methods), **given)


ASKED = tuple(one.name for one in fields(Reduction) if one.name not in ("methods", "num_tokens", "grids"))
"""Fields of a Reduction that a method may set."""


def sorted_order(values: Ints) -> Ints:
    """Places of values, the greatest first; of equals the one that comes first."""
    return np.argsort(-values, kind="stable")


def merged_into(target: Ints) -> tuple[Ints, Ints]:
    """`kept` and `groups` where each token goes into the token target[i], itself if it stays."""
    kept = np.unique(target)
    return kept, np.searchsorted(kept, target)

"""Token merging (ToMe): layer by layer of the encoder, the most alike tokens of two halves become one."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from operators.reduction.cosines import cosines, tamed
from operators.reduction.method import Method, Need, Stage
from operators.reduction.plan import ImageTokens, Ints, Reduction, merged_into, sorted_order


class ToMe(Method):
    """Merges `merges` pairs of tokens behind each of `layers` layers, at most half of what is left.

    Every second token has the one of the others that is most like it; of these pairs the most alike are merged, a
    token that stands for several counting as so many. Source: ToMe (arXiv 2210.09461), `bipartite_soft_matching`.
    Otherwise than there:

    - cosines are of what tokens show (features.py), averaged as tokens merge, where the reference has each layer's
      keys: all layers' merges are one plan, to be applied to what comes out of the encoder;
    - a merged token has the place of the one that took the other in, and all stand in the order of the image.
    """

    stage: ClassVar[Stage] = "merge"
    needs: ClassVar[frozenset[Need]] = frozenset({"features"})

    method: Literal["tome"] = "tome"
    merges: int = Field(default=8, ge=0)
    """Pairs a layer (r)."""
    layers: int = Field(default=24, ge=1)
    """Of the encoder; 24 in CLIP-L."""
    decreasing: bool = False
    """Whether the layers' counts fall evenly from twice `merges` to none."""
    class_token: bool = True
    """Whether the encoder has a CLS token before the others. It never merges, and is none of an image's tokens: 576 of
    them become 384 where the reference counts 577 and 385. Which tokens are the second ones hangs on it."""

    def plan(self, tokens: ImageTokens) -> Reduction:
        assert tokens.features is not None
        num_tokens = tokens.num_tokens
        target = np.arange(num_tokens)
        sums, sizes = tamed(tokens.features).copy(), np.ones(num_tokens, np.int64)
        left = np.arange(num_tokens)
        for merges in layer_merges(num_tokens, self.layers, self.merges, self.decreasing):
            # With CLS in front, the tokens at even places are ours at odd ones.
            sources, others = left[int(self.class_token) :: 2], left[1 - int(self.class_token) :: 2]
            if not merges:
                continue
            found = cosines(_means(sums, sizes, sources), _means(sums, sizes, others))
            merged = sorted_order(found.max(axis=1))[:merges]
            into = others[found.argmax(axis=1)[merged]]
            target[sources[merged]] = into
            np.add.at(sums, into, sums[sources[merged]])
            np.add.at(sizes, into, sizes[sources[merged]])
            left = np.concatenate([np.delete(sources, merged), others])
        while not np.array_equal(target, target[target]):
            target = target[target]
        kept, groups = merged_into(target)
        return Reduction(
            methods=(self.method,),
            num_tokens=num_tokens,
            grids=tokens.grids,
            kept=kept,
            groups=groups,
        )


def layer_merges(num_tokens: int, layers: int, merges: int, decreasing: bool) -> list[int]:
    """How many tokens go behind each layer, of so many beside CLS, which never does.

    Source: `parse_r` of the reference, and its bound of half the tokens that may merge, CLS not counted.
    """
    steps = max(1, layers - 1)
    wanted = [2 * merges * (steps - i) // steps if decreasing else merges for i in range(layers)]
    found, left = [], num_tokens
    for count in wanted:
        found.append(min(count, left // 2))
        left -= found[-1]
    return found


def _means(sums: Ints, sizes: Ints, places: Ints) -> Ints:
    """Of the tokens that each stands for, half rounded up."""
    size = sizes[places][:, None]
    return (2 * sums[places] + size) // (2 * size)

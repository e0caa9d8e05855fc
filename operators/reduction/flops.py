"""A meter for plans: how many tokens each layer of a decoder sees, and the floating-point operations that they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from operators.reduction.plan import Reduction


@dataclass(frozen=True, slots=True)
class Decoder:
    """Sizes of a language model; those of a 7B Llama."""

    num_layers: int = 32
    width: int = 4096
    """d, of the hidden states."""
    inner: int = 11008
    """m, of the feed-forward network."""

    def layer_flops(self, num_tokens: int) -> int:
        """4nd² + 2n²d + 3ndm of n tokens, as SparseVLM's code counts: four projections, the two products of attention
        without a causal half, and a gated network; multiplications alone. FastV counts 2ndm, a network without a gate.
        """
        projections = 4 * num_tokens * self.width**2
        return projections + 2 * num_tokens**2 * self.width + 3 * num_tokens * self.width * self.inner


LLAMA_7B = Decoder()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one document in all layers."""

    token_layers: int
    """Visual tokens, summed over layers."""
    attention: int
    """Squares of the visual tokens, summed over layers and images."""
    flops: int
    """Of text and visual tokens."""

    def saved(self, reduced: Cost) -> tuple[Fraction, Fraction, Fraction]:
        """Shares of token-layers, attention and FLOPs that a reduction of this saves; 0 where there is nothing."""
        pairs = (
            (self.token_layers, reduced.token_layers),
            (self.attention, reduced.attention),
            (self.flops, reduced.flops),
        )
        token_layers, attention, flops = (1 - Fraction(left, whole) if whole else Fraction(0) for whole, left in pairs)
        return token_layers, attention, flops


def tokens_by_layer(reduction: Reduction, num_layers: int) -> list[int]:
    """How many tokens of an image each layer sees: those that keep a place, from some layer on interpolated to more or
    left at fewer, and the clusters recycled at a layer until the next one of the schedule.
    """
    starts = dict(reduction.schedule or ())
    if reduction.expand is not None:
        starts[reduction.expand[0]] = reduction.expand[1]
    recycled = {one.layer: int(one.groups.max()) + 1 for one in reduction.clusters if len(one.groups)}
    found: list[int] = []
    tokens, clusters = reduction.num_kept, 0
    for layer in range(num_layers):
        if layer in starts:
            tokens, clusters = starts[layer], recycled.get(layer, 0)
        found.append(tokens + clusters)
    return found


def document_cost(num_text: int, images: Sequence[Sequence[int]], decoder: Decoder = LLAMA_7B) -> Cost:
    """Of a document with so many tokens that no reduction touches, and images with so many tokens in each layer.

    Documents of a pack do not see each other: a pack costs the sum of its documents.
    """
    for own in images:
        if len(own) != decoder.num_layers:
            raise ValueError(f"an image has tokens for {len(own)} layers, the decoder {decoder.num_layers}")
    visual = [sum(layer) for layer in zip(*images, strict=True)] if images else [0] * decoder.num_layers
    return Cost(
        sum(visual),
        sum(tokens**2 for own in images for tokens in own),
        sum(decoder.layer_flops(num_text + tokens) for tokens in visual),
    )


def costs(num_text: int, reductions: Sequence[Reduction], decoder: Decoder = LLAMA_7B) -> tuple[Cost, Cost]:
    """Of a document without its reductions, and with them."""
    whole = [[one.num_tokens] * decoder.num_layers for one in reductions]
    reduced = [tokens_by_layer(one, decoder.num_layers) for one in reductions]
    return document_cost(num_text, whole, decoder), document_cost(num_text, reduced, decoder)

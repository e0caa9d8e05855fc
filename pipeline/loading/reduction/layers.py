"""Packed rows inside a language model: which tokens each layer sees, and which of them an answer sees.

For every layer, `row_at` says what it sees, `fewer` takes the states of the layer before to it, `position_ids[...,
row.tokens]` are its positions, and `attention_mask` is its mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label of what is not trained."""


@dataclass(frozen=True, slots=True)
class Image:
    """A stored plan (REDUCTION), and where in its row the k tokens stand that have a place: [k], int64, ascending."""

    plan: Mapping[str, Any]
    places: Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """The m tokens of a packed row that a layer sees, in the order of the row."""

    tokens: Tensor
    """[m] int64: place of each in the whole row. A cluster has that of its best member, and with it its position."""
    clusters: Tensor
    """[m] int64: -1; of a cluster: its number among all those of the row's plans."""
    cu_seqlens: Tensor
    """[documents + 1] int32: where documents begin and end among the m."""

    def stays(self, num_tokens: int) -> Tensor:
        """[L] bool: which tokens of the whole row are left as themselves."""
        found = torch.zeros(num_tokens, dtype=torch.bool, device=self.tokens.device)
        found[self.tokens[self.clusters < 0]] = True
        return found

    def labels(self, labels: Tensor) -> Tensor:
        """[m] of labels [L] that are not shifted yet; clusters are not trained."""
        return labels[self.tokens].masked_fill(self.clusters >= 0, IGNORED)


@dataclass(frozen=True, slots=True)
class _Cluster:
    number: int
    layer: int
    members: Tensor
    """Places in the whole row."""
    best: int


def row_at(cu_seqlens: Tensor, images: Sequence[Image], layer: int) -> Row:
    """What a layer, from 0, sees of a packed row with these documents (int32 [documents + 1]); layer -1: all of it.

    Clusters stand behind the last token that their image keeps, until the next layer of its schedule. All positions are
    those of the whole row, where SparseVLM's code numbers what is left anew. ValueError where places and plan disagree,
    or a plan asks to expand tokens.
    """
    num_tokens = int(cu_seqlens[-1])
    device = cu_seqlens.device
    stays = torch.ones(num_tokens, dtype=torch.bool, device=device)
    added: list[tuple[int, int, int]] = []  # behind which token, whose place, number
    by_image = _clusters(images)
    for image, clusters in zip(images, by_image, strict=True):
        started = [step for step in image.plan.get("schedule") or () if step["layer"] <= layer]
        if not started:
            continue
        order = image.places[_order(image)]
        left = int(started[-1]["tokens"])
        stays[order[left:]] = False
        behind = int(order[:left].max()) if left else int(image.places[0]) - 1
        added += [(behind, one.best, one.number) for one in clusters if one.layer == started[-1]["layer"]]
    own = torch.nonzero(stays).flatten()
    behind_of, tokens, numbers = torch.tensor(added, dtype=torch.int64, device=device).reshape(-1, 3).unbind(1)
    sequence = torch.argsort(torch.cat([own, behind_of]), stable=True)
    tokens = torch.cat([own, tokens])[sequence]
    return Row(tokens, torch.cat([torch.full_like(own, -1), numbers])[sequence], _borders(cu_seqlens, tokens))


def fewer(hidden: Tensor, before: Row, after: Row, images: Sequence[Image]) -> Tensor:
    """States [..., m, d] of one row as those of a later one [..., m', d]: kept ones as they are, and means of clusters.

    before, after: rows of the same documents and images at layers that follow each other, or at -1 and the first.
    """
    if hidden.shape[-2] != len(before.tokens):
        raise ValueError(f"states of {hidden.shape[-2]} tokens, the row before has {len(before.tokens)}")
    if torch.equal(before.tokens, after.tokens) and torch.equal(before.clusters, after.clusters):
        return hidden
    where = _indices(before.tokens, before.clusters < 0)
    found = _indices(before.clusters, before.clusters >= 0)
    means: list[Tensor] = []
    for clusters in _clusters(images):
        for one in clusters:
            if one.number in found or not bool((after.clusters == one.number).any()):
                continue
            members = [where[place] for place in one.members.tolist()]
            found[one.number] = hidden.shape[-2] + len(means)
            means.append(hidden[..., members, :].mean(-2, keepdim=True))
    pairs = zip(after.tokens.tolist(), after.clusters.tolist(), strict=True)
    sources = [where[token] if cluster < 0 else found[cluster] for token, cluster in pairs]
    return torch.cat([hidden, *means], -2).index_select(-2, torch.tensor(sources, device=hidden.device))


def attention_mask(row: Row, images: Sequence[Image], answers: Tensor | None = None) -> Tensor:
    """[m, m] bool: whether each token (first axis) sees each other one: those before it and itself, of its document.

    answers: [L] int64, of the whole row: number of each token in its answer, from 0; -1 outside of answers. From a
    token of an answer on where a plan's decay says so, it sees the first tokens of that image's order alone, and of
    clusters those whose best member is among them. None: no plan decays, and `cu_seqlens` alone says as much.
    """
    m = len(row.tokens)
    places = torch.arange(m, device=row.tokens.device)
    documents = torch.searchsorted(row.cu_seqlens[1:].long(), places, right=True)
    seen = (places[:, None] >= places[None]) & (documents[:, None] == documents[None])
    if answers is None:
        return seen
    numbers = answers[row.tokens]
    for image in images:
        steps = image.plan.get("decay") or ()
        ranks = torch.full((len(answers),), -1, dtype=torch.int64, device=places.device)
        if steps:
            ranks[image.places[_order(image)]] = torch.arange(len(image.places), device=places.device)
        for step in steps:
            late = numbers >= step["answer_token"]
            seen &= ~(late[:, None] & (ranks[row.tokens] >= step["tokens"])[None])
    return seen


def _order(image: Image) -> Tensor:
    """[k] int64; ValueError where it is not one of the image's places."""
    order = image.plan.get("order")
    if order is None or len(order) != len(image.places):
        given = "no order" if order is None else f"an order of {len(order)} tokens"
        raise ValueError(f"a plan with {given} for an image with {len(image.places)} places")
    return torch.tensor(order, dtype=torch.int64, device=image.places.device)


def _clusters(images: Sequence[Image]) -> list[list[_Cluster]]:
    """Of each image; all are numbered through."""
    found: list[list[_Cluster]] = []
    number = 0
    for image in images:
        if image.plan.get("expand") is not None:
            raise ValueError("a plan that expands tokens at a layer has its own function; it has no place in a row")
        own = [_Cluster(number + i, layer, members, best) for i, (layer, members, best) in enumerate(_recycled(image))]
        number += len(own)
        found.append(own)
    return found


def _recycled(image: Image) -> Iterator[tuple[int, Tensor, int]]:
    """Layer, members and best member of each cluster, as places in the whole row."""
    for one in image.plan.get("clusters") or ():
        members = torch.tensor(one["members"], dtype=torch.int64, device=image.places.device)
        groups = torch.tensor(one["groups"], device=image.places.device)
        ranks = torch.argsort(_order(image))[members]
        for group in range(int(groups.max()) + 1 if len(groups) else 0):
            own = groups == group
            best = members[own][ranks[own].argmin()]
            yield int(one["layer"]), image.places[members[own]], int(image.places[best])


def _indices(values: Tensor, chosen: Tensor) -> dict[int, int]:
    """Where each chosen value stands."""
    places = torch.nonzero(chosen).flatten()
    return dict(zip(values[places].tolist(), places.tolist(), strict=True))


def _borders(cu_seqlens: Tensor, tokens: Tensor) -> Tensor:
    """Where the documents of tokens begin and end; none is left out, even if nothing of it is left."""
    documents = torch.searchsorted(cu_seqlens[1:].long(), tokens, right=True)
    counts = torch.bincount(documents, minlength=len(cu_seqlens) - 1)
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(cu_seqlens.dtype)

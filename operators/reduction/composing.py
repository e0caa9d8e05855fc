"""Several methods after each other: which may follow which, and what becomes of an image's tokens in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise

import numpy as np

from operators.reduction.method import STAGES, Method
from operators.reduction.plan import Clusters, Grid, ImageTokens, Ints, Reduction
from operators.reduction.pooling import regions
from pipeline.operator import Row

MEANING = {
    "arrange": "puts tokens in another order",
    "merge": "decides which tokens have a place in the sequence",
    "layers": "decides which tokens each layer of the language model sees",
    "answer": "decides which tokens are seen late in an answer",
}


def composition_fault(methods: Sequence[Method]) -> str | None:
    """Why these methods cannot follow each other, in a line; None where they can."""
    for earlier, later in pairwise(methods):
        if earlier.stage == later.stage:
            what = f"each {MEANING[later.stage]}"
            return f"{earlier.method} and {later.method} decide the same: {what}; name one of them"
        if STAGES.index(earlier.stage) > STAGES.index(later.stage):
            return (
                f"{later.method} {MEANING[later.stage]}, which comes before what {earlier.method} does: it "
                f"{MEANING[earlier.stage]}; name {later.method} first"
            )
        if earlier.method == "wico_plus":
            return (
                f"wico_plus adds tokens again in a deep layer, of which {later.method} knows nothing; name one of them"
            )
    return None


def reduce_tokens(methods: Sequence[Method], tokens: ImageTokens) -> Reduction:
    """What becomes of the tokens of one image by all methods in turn. InputError as Method.plan has it."""
    found: list[Reduction] = []
    for method in methods:
        found.append(method.plan(tokens))
        tokens = left_of(tokens, found[-1])
    return reduce(Reduction.then, found)


def left_of(tokens: ImageTokens, reduction: Reduction) -> ImageTokens:
    """The k tokens that have a place, as one row. One that stands for several has the mean of their values."""
    if reduction.kept is None:
        return tokens
    members = _members(reduction)
    scores, salience, features = (
        None if values is None else _means(values, *members)
        for values in (tokens.scores, tokens.salience, tokens.features)
    )
    row = replace(tokens, grids=((1, reduction.num_kept),), kinds=("kept",), places=((0, 0),))
    return replace(row, scores=scores, salience=salience, features=features)


def _members(reduction: Reduction) -> tuple[Ints, Ints, int]:
    """Pairs of a token and the kept one that it is part of, and how many are kept."""
    assert reduction.kept is not None
    num_kept = len(reduction.kept)
    if reduction.groups is not None:
        merged = np.flatnonzero(reduction.groups >= 0)
        return merged, reduction.groups[merged], num_kept
    if reduction.window is not None:
        return reduction.window.ravel(), np.repeat(np.arange(num_kept), reduction.window.shape[1]), num_kept
    if reduction.pools is not None:
        pooled = [start + region for start, _, region in regions(reduction.grids, reduction.pools)]
        return np.concatenate(pooled), np.repeat(np.arange(num_kept), [len(region) for region in pooled]), num_kept
    return reduction.kept, np.arange(num_kept), num_kept


def _means(values: Ints, tokens: Ints, owners: Ints, num_kept: int) -> Ints:
    """[k, ...] Rounded down: integers in, integers out."""
    sums = np.zeros((num_kept, *values.shape[1:]), np.int64)
    np.add.at(sums, owners, values[tokens])
    counts = np.bincount(owners, minlength=num_kept).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(sums // counts)


def to_row(reduction: Reduction) -> Row:
    """As REDUCTION has it."""
    lists = {name: getattr(reduction, name) for name in ("restore", "kept", "groups", "shares", "window", "order")}
    expand = reduction.expand
    clusters = [
        {"layer": one.layer, "members": one.members.tolist(), "groups": one.groups.tolist()}
        for one in reduction.clusters
    ]
    return {
        "methods": list(reduction.methods),
        "num_tokens": reduction.num_tokens,
        "num_kept": reduction.num_kept,
        "grids": _grids(reduction.grids),
        "pools": None if reduction.pools is None else _grids(reduction.pools),
        **{name: None if values is None else values.tolist() for name, values in lists.items()},
        "schedule": _steps("layer", reduction.schedule),
        "clusters": clusters or None,
        "expand": None if expand is None else {"layer": expand[0], "tokens": expand[1]},
        "decay": _steps("answer_token", reduction.decay),
    }


def from_row(row: Row) -> Reduction:
    """The Reduction that a row of REDUCTION holds."""
    lists = {name: row[name] for name in ("restore", "kept", "groups", "window", "order")}
    arrays = {name: None if values is None else np.array(values, np.int64) for name, values in lists.items()}
    grids, pools = (
        None if row[name] is None else tuple((one["rows"], one["cols"]) for one in row[name])
        for name in ("grids", "pools")
    )
    schedule, decay = (
        None if row[name] is None else tuple((step[at], step["tokens"]) for step in row[name])
        for name, at in (("schedule", "layer"), ("decay", "answer_token"))
    )
    expand = row["expand"]
    return Reduction(
        tuple(row["methods"]),
        row["num_tokens"],
        grids or (),
        shares=None if row["shares"] is None else np.array(row["shares"], np.float32),
        pools=pools,
        schedule=schedule,
        clusters=tuple(
            Clusters(one["layer"], np.array(one["members"], np.int64), np.array(one["groups"], np.int64))
            for one in row["clusters"] or ()
        ),
        expand=None if expand is None else (expand["layer"], expand["tokens"]),
        decay=decay,
        **arrays,
    )


def _grids(grids: Sequence[Grid]) -> list[Row]:
    return [{"rows": rows, "cols": cols} for rows, cols in grids]


def _steps(name: str, steps: Sequence[tuple[int, int]] | None) -> list[Row] | None:
    return None if steps is None else [{name: at, "tokens": tokens} for at, tokens in steps]

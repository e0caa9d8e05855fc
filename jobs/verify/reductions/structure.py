"""What holds of every plan of reduction: places, groups, windows and pools, orders, schedules and clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

Row = dict[str, Any]


def structure_faults(reduction: Row) -> Iterator[str]:
    """What is untrue of an image's reduction whatever made it, a line each."""
    for check in (_place_faults, _source_faults, _layer_faults):
        faults = list(check(reduction))
        yield from faults
        if faults:
            return


def _place_faults(reduction: Row) -> Iterator[str]:
    """Tokens that have a place: ascending, each once, as many as are counted."""
    num_tokens, num_kept, kept = (reduction[name] for name in ("num_tokens", "num_kept", "kept"))
    if kept is None:
        if num_kept != num_tokens:
            yield f"keeps {num_kept} of {num_tokens} tokens and does not say which"
        return
    if len(kept) != num_kept or not kept:
        yield f"keeps {num_kept} tokens and names {len(kept)}; as many, and one at least, expected"
    if kept and (min(kept) < 0 or max(kept) >= num_tokens or any(b <= a for a, b in pairwise(kept))):
        yield f"keeps tokens that are not ascending numbers under {num_tokens}"


def _source_faults(reduction: Row) -> Iterator[str]:
    """What each kept token is made of: a group that it is in, a window that it is in, a cell of a pool."""
    num_tokens, num_kept = reduction["num_tokens"], reduction["num_kept"]
    kept = range(num_tokens) if reduction["kept"] is None else reduction["kept"]
    groups, shares, window = (reduction[name] for name in ("groups", "shares", "window"))
    if sum(reduction[name] is not None for name in ("groups", "window", "pools")) > 1:
        yield "has more than one of groups, window and pools"
    if groups is not None:
        if len(groups) != num_tokens or min(groups) < -1 or max(groups) >= num_kept:
            yield f"has groups that are not one for each of {num_tokens} tokens, of {num_kept} groups or none"
        elif any(groups[token] != place for place, token in enumerate(kept)):
            yield "has a kept token that is not in its own group"
        elif shares is not None and (len(shares) != num_tokens or not all(0 < share <= 1 for share in shares)):
            yield f"has shares that are not one for each of {num_tokens} tokens, over 0 and at most 1"
    elif shares is not None:
        yield "has shares without groups"
    if window is not None:
        sizes = {len(tokens) for tokens in window}
        if len(window) != num_kept or len(sizes) > 1 or not all(0 <= i < num_tokens for own in window for i in own):
            yield f"has windows that are not {num_kept} of one size"
        elif any(token not in own for token, own in zip(kept, window, strict=True)):
            yield "has a kept token that is not in its own window"
    pools = reduction["pools"]
    if pools is not None:
        cells = [pool["rows"] * pool["cols"] for pool in pools]
        is_smaller = all(
            0 < pool[side] <= grid[side]
            for pool, grid in zip(pools, reduction["grids"], strict=False)
            for side in ("rows", "cols")
        )
        if len(pools) != len(reduction["grids"]) or sum(cells) != num_kept or not is_smaller:
            yield f"has pools of {cells} tokens; {num_kept} in all, within the grids, expected"
    if reduction["restore"] is not None and sorted(reduction["restore"]) != list(range(num_tokens)):
        yield f"has a raster that is no permutation of {num_tokens} tokens"


def _layer_faults(reduction: Row) -> Iterator[str]:
    """One order for all layers, of which each sees no more than the one before; clusters of what a layer drops."""
    num_kept, order, schedule = (reduction[name] for name in ("num_kept", "order", "schedule"))
    if order is not None and sorted(order) != list(range(num_kept)):
        yield f"has an order that is no permutation of the {num_kept} kept tokens"
        return
    for name, at in (("schedule", "layer"), ("decay", "answer_token")):
        steps = reduction[name] or []
        if steps and order is None:
            yield f"has a {name} and no order of tokens"
        if any(b[at] <= a[at] or b["tokens"] > a["tokens"] for a, b in pairwise(steps)):
            yield f"has a {name} whose steps do not ascend, or that brings tokens back: {_shown(steps, at)}"
        if any(not 0 < step["tokens"] <= num_kept for step in steps):
            yield f"has a {name} of {_shown(steps, at)} tokens; 1 to {num_kept} expected"
    left = {step["layer"]: step["tokens"] for step in schedule or []}
    before = num_kept
    for cluster in sorted(reduction["clusters"] or [], key=lambda one: one["layer"]):
        layer = cluster["layer"]
        dropped = set(order[left.get(layer, before) : before]) if order is not None else set()
        number = sorted(set(cluster["groups"]))
        if not set(cluster["members"]) <= dropped or number != list(range(len(number))):
            yield f"has clusters at layer {layer} of tokens that it does not drop"
        before = left.get(layer, before)
    expand = reduction["expand"]
    if expand is not None and expand["tokens"] < num_kept:
        yield f"is spread over {expand['tokens']} tokens; {num_kept} at least expected"


def _shown(steps: Sequence[Row], at: str) -> list[tuple[int, int]]:
    return [(step[at], step["tokens"]) for step in steps]

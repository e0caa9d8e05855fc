"""How the time of a run divides among its operators: a bar in the table of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CHAIN = ("read", "replan", "decode", "filter", "derive", "slice", "tokenize", "score", "pack", "write")
"""The order of operators in every bar, so that bars can be compared; others stand behind them."""


def times(operators: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Each operator that worked, in the order of the chain: its name, seconds, rows, and share of the seconds of all.

    `start` is the sum of the shares before it.
    """
    worked = {name: done for name, done in operators.items() if done["seconds"] > 0}
    total = sum(done["seconds"] for done in worked.values())
    found: list[dict[str, Any]] = []
    start = 0.0
    for name in in_order(worked):
        share = worked[name]["seconds"] / total
        found.append({"name": name, **worked[name], "share": share, "start": start})
        start += share
    return found


def in_order(names: Iterable[str]) -> list[str]:
    places = {name: place for place, name in enumerate(CHAIN)}
    return sorted(names, key=lambda name: (places.get(name, len(CHAIN)), name))

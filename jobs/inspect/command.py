"""The forms of `lodepack inspect`: checks the call, finds, and prints unless only the facts are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.inspect.explain import explain
from jobs.inspect.output import open_output
from jobs.inspect.packs import count, find_pack, first_packs, overview, read_pack
from jobs.inspect.plan import show_plan, show_video
from jobs.inspect.screen import print_explanation, print_overview, print_pack, print_plan
from pipeline.errors import ConfigError

DEFAULT_LIMIT = 10
"""Packs that the overview lists."""


def inspect_sizes(
    profile: str, sizes: Sequence[str], *, show: bool, seconds: float | None = None, fps: float = 25.0
) -> dict[str, Any] | list[dict[str, Any]]:
    """The plan of one size, or a list of those of several; ConfigError names the size that has none.

    seconds: of a video of that size at `fps` frames a second.
    """
    if not sizes:
        raise ConfigError(
            f"--profile {profile} needs an image size, such as: lodepack inspect --profile {profile} 640x480"
        )
    if seconds is None:
        plans = [show_plan(profile, size) for size in sizes]
    else:
        plans = [show_video(profile, size, seconds, fps) for size in sizes]
    if show:
        for size, plan in zip(sizes, plans, strict=True):
            print_plan(profile, size, plan)
    return plans[0] if len(plans) == 1 else plans


def inspect_output(
    what: Sequence[str], *, pack: str | None, explain_id: str | None, limit: int | None, show: bool
) -> dict[str, Any]:
    """The overview of an output, one of its packs, or the fate of one of its samples. ConfigError for a wrong call."""
    if len(what) != 1:
        found = "no output folder" if not what else f"{len(what)} arguments"
        raise ConfigError(f"inspect has {found}; name one, such as build/quickstart, or say --profile NAME WxH")
    if pack is not None and explain_id is not None:
        raise ConfigError("--pack and --explain are two questions; ask one at a time")
    if limit is not None and (pack is not None or explain_id is not None):
        raise ConfigError("--limit says how many packs to list; leave it out beside --pack and --explain")
    output = open_output(what[0])
    if explain_id is not None:
        explanation = explain(output, explain_id)
        if show:
            print_explanation(explanation)
        return explanation
    if pack is not None:
        number, row = find_pack(output, pack)
        whole = read_pack(output, number, row)
        if show:
            print_pack(whole, row)
        return whole
    summary = overview(output)
    rows = list(first_packs(output, DEFAULT_LIMIT if limit is None else limit))
    packs = [count(number, row) for number, row in enumerate(rows)]
    if show:
        print_overview(summary, list(zip(packs, rows, strict=True)))
    return summary | {"packs": packs}

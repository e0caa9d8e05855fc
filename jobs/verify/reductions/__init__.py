"""What holds of a plan of reduction, by itself and for the methods of its job: with code of its own, from the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.verify.reductions.image import Grid, Image
from jobs.verify.reductions.layers import LAYERED
from jobs.verify.reductions.merging import MERGING
from jobs.verify.reductions.structure import structure_faults
from pipeline.types import Place

Row = dict[str, Any]
METHODS = MERGING | LAYERED
"""Of each method its check."""
FIELDS = {
    "dyrate": {"order", "decay"},
    "frame_pool": {"kept", "pools"},
    "hires_restore": {"restore"},
    "mustdrop": {"order", "schedule"},
    "mustdrop_merge": {"kept", "groups"},
    "prumerge": {"kept", "groups", "shares"},
    "rank": {"order", "schedule"},
    "self_mining": {"kept", "groups"},
    "sparsevlm": {"order", "schedule", "clusters"},
    "tokenflex": {"kept", "pools"},
    "tokenflex_by_scores": {"kept", "pools"},
    "tome": {"kept", "groups"},
    "visionzip": {"kept", "groups", "shares"},
    "wico": {"kept", "window"},
    "wico_plus": {"kept", "window", "expand"},
}
"""What each asks for; all else is null."""
MAY_BE_NULL = {"restore", "schedule", "clusters"}
"""Of a small image: it has no two slices, or no layer sees fewer tokens."""
ASKED = set[str]().union(*FIELDS.values())


def reduction_faults(segment: Row, methods: Sequence[Mapping[str, Any]], document: str, place: Place) -> Iterator[str]:
    """What is untrue of the reduction of an image of the index, a line each.

    methods: those of the job; document: shard/key#ordinal; place: of the image among those of its document.
    """
    reduction = segment["reduction"]
    if reduction is None or not methods:
        if (reduction is None) != (not methods):
            yield f"has {'no reduction' if methods else 'a reduction'}, otherwise than the job"
        return
    names = [method["method"] for method in methods]
    if reduction["methods"] != names:
        yield f"is reduced by {reduction['methods']}; {names}, as the job says, expected"
        return
    of_token = [run["view"] for run in segment["runs"] if run["view"] >= 0 for _ in range(run["count"])]
    grids = [(grid["rows"], grid["cols"]) for grid in reduction["grids"]]
    expected = _grids(of_token, segment["plan"]["views"])
    if reduction["num_tokens"] != len(of_token) or grids != expected:
        yield f"has {reduction['num_tokens']} tokens in grids of {grids}; {len(of_token)} in {expected} expected"
        return
    asked = set[str]().union(*(FIELDS[name] for name in names))
    given = {name for name in ASKED if reduction[name] is not None}
    if not asked - MAY_BE_NULL <= given <= asked:
        yield f"asks for {', '.join(sorted(given))}; {', '.join(sorted(asked))}, as its methods do, expected"
        return
    faults = list(structure_faults(reduction))
    yield from faults
    if faults:
        return
    image = Image(reduction, tuple(grids), segment["plan"]["views"], of_token, document, place.number, place.count)
    for method in methods:
        yield from METHODS[method["method"]](method, image)


def _grids(of_token: Sequence[int], views: Sequence[Row]) -> list[Grid]:
    """Of each stretch of tokens whose views stand among each other: tiles of one raster, or one view.

    A raster goes on in the tiles below.
    """
    last = {view: i for i, view in enumerate(of_token)}
    stretches: list[set[int]] = [set()]
    for i, view in enumerate(of_token):
        if i and i > max(last[one] for one in stretches[-1]):
            stretches.append(set())
        stretches[-1].add(view)
    grids: list[Grid] = []
    is_below = False
    for stretch in stretches:
        cols = sum({views[view]["col"]: views[view]["cols"] for view in stretch}.values())
        rows = sum(of_token.count(view) for view in stretch) // max(1, cols)
        if is_below and len(stretch) > 1:
            rows += grids.pop()[0]
        grids.append((rows, cols))
        is_below = len(stretch) > 1
    return grids

"""From the `reduce` of a job to the stage that plans it, and to what a recipe says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from jobs.spec import absolute
from operators.profiles import Profile
from operators.reduce import Reduce
from operators.reduction.method import Method, Need
from pipeline import storage
from pipeline.chain import Pool, Stage
from pipeline.errors import ConfigError
from pipeline.monitor import Beat
from pipeline.operator import Operator

SMALL = ""
"""Stands for the small encoder that ships."""
PROBES = ((64, 64), (640, 480), (300, 1000), (1000, 300), (2000, 1500))
"""Pictures of any shape: where all their views have one grid, every view of the family has it."""


def looks_needed(methods: Sequence[Method]) -> frozenset[Need]:
    """What the methods need of each token beside its place."""
    return frozenset[Need]().union(*(method.needs for method in methods))


def looks_at_pictures(methods: Sequence[Method]) -> bool:
    """Whether any of them wants the small copies of pictures: all but those whose scores the user gives."""
    return bool(looks_needed(methods) - ({"scores"} if scores_file(methods) else frozenset()))


def scores_file(methods: Sequence[Method]) -> str | None:
    """The file of scores that they name, one for all of them."""
    return next((path for method in methods for path in method.files()), None)


def reduce_stages(methods: Sequence[Method], pool: Pool | None, encoder: str | None) -> list[Stage]:
    """The stage of a job's methods, in a pool of their own or with the operator before; none without methods.

    encoder: path of what makes the participatory map, SMALL of the one that ships; None: nothing makes it.
    """
    if not methods:
        return []
    given = scores_file(methods)
    build = partial(_build, methods, looks_needed(methods), None if given is None else absolute(given), encoder)
    return [Stage(Reduce.name, build, pool)]


def reduce_recipe(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """What changes what they do: settings, and the file of scores by its content."""
    fields = [method.model_dump(mode="json") for method in methods]
    return [
        one | {"scores": hashlib.sha256(storage.read_bytes(absolute(one["scores"]))).hexdigest()}
        if one.get("scores")
        else one
        for one in fields
    ]


def check_files(methods: Sequence[Method]) -> None:
    """ConfigError for a file of scores that cannot be read."""
    from operators.reduction.supplied import supplied_scores

    for path in {path for method in methods for path in method.files()}:
        try:
            supplied_scores(absolute(path))
        except ValueError as error:
            raise ConfigError(f"reduce: {error}") from error


def check_grids(methods: Sequence[Method], profile: Profile) -> None:
    """ConfigError where a method refuses the one grid that all views of a family have: no picture would be packed."""
    plans = [profile.slicing.plan(*size, profile.tokens.by_role()) for size in PROBES]
    grids = {(view.rows, view.cols) for plan in plans for view in plan.views}
    if len(grids) > 1:
        return
    for method in methods:
        why = method.refuses(*next(iter(grids)))
        if why is not None:
            raise ConfigError(
                f"reduce: {method.method} cannot take what profile {profile.name} makes of a picture: {why}"
            )


def _build(
    methods: Sequence[Method], needs: Collection[Need], given: str | None, encoder: str | None, _: Beat
) -> Operator:
    from operators.reduction.looks import Looks  # torch takes seconds to import: only the actors that look pay for it
    from operators.reduction.supplied import supplied_scores
    from operators.relevance.participatory import open_encoder

    found = None if encoder is None or "scores" not in needs or given else open_encoder(encoder or None, "cpu")
    return Reduce(methods, Looks(needs, found, None if given is None else supplied_scores(given)))

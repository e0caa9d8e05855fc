"""`lodepack diff` on the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.options import Json, Output
from jobs.terminal import printable

EXAMPLES = "Examples: `lodepack diff build/quickstart`; `lodepack diff build/quickstart 1 3 --json`"


def diff(
    output: Output,
    versions: Annotated[
        list[int], typer.Argument(metavar="[A B]", help="Two versions; by default the newest and the one before it.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Say what changed between two versions: shards, recipe, units and why each is new, and counts.

    With --json: each of `counts`, and each reason, is [in A, in B]; `units.new` and `units.gone` list shards by cause.
    """
    from jobs.diff.command import diff as run
    from jobs.diff.screen import to_lines

    report = run(output, versions)
    typer.echo(json.dumps(report, indent=1, sort_keys=True) if as_json else printable("\n".join(to_lines(report))))

"""`lodepack prune` on the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.options import Json, Output
from jobs.terminal import printable

EXAMPLES = "Examples: `lodepack prune build/quickstart --keep 3 --dry-run`; `lodepack prune build/quickstart --keep 3`"


def prune(
    output: Output,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Versions that stay: the newest N.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove all versions but the newest N, and the units and files that none of these names.

    Refused while a run is active, and runs are refused while it is at work. Stopped half way it leaves every version
    whole that is still there; say it again to finish. Units of a run that did not end stay, for the next to keep.
    """
    from jobs.prune.command import prune as run
    from jobs.prune.command import to_lines

    report = run(output, keep=keep, dry_run=dry_run)
    typer.echo(json.dumps(report, indent=1, sort_keys=True) if as_json else printable("\n".join(to_lines(report))))

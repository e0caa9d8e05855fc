"""`lodepack report` on the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.options import NUM_WHOLE, Json, Output, VersionNumber
from jobs.terminal import printable

EXAMPLES = (
    "Examples: `lodepack report build/quickstart`; `lodepack report s3://bucket/manual --output manual.html --packs 50`"
)


def report(
    output: Output,
    target: Annotated[
        str | None, typer.Option("--output", metavar="FILE.html", help="Page to write; by default OUT/report.html.")
    ] = None,
    packs: Annotated[
        int, typer.Option(min=0, metavar="N", help="Packs with text, mask and images; all are drawn as bars.")
    ] = NUM_WHOLE,
    version: VersionNumber = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page of an output: packs, images with their budgets and relevance, histograms, rejects, runs.

    The page is one file that needs no network. It replaces the one of the run before; no byte of the data set depends
    on it. Of a version it is always the same, but for what it says of runs.
    """
    from jobs.report.command import write_report

    done = write_report(output, target, num_whole=packs, version=version)
    if as_json:
        typer.echo(json.dumps(done, indent=1, sort_keys=True))
        return
    typer.echo(
        printable(
            f"wrote {done['report']}: version {done['version']}, {done['num_drawn']:,} of {done['num_packs']:,} packs, "
            f"{done['num_whole']:,} of them whole, {done['bytes']:,} bytes"
        )
    )

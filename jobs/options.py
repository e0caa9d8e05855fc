"""Arguments and options that several commands have, and how their objects are printed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

JobFile = Annotated[str, typer.Argument(metavar="JOB.yaml", help="Job file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Override a field of the job; repeatable.")
]
Output = Annotated[str, typer.Argument(metavar="OUT", help="Output of a run.")]
VersionNumber = Annotated[int | None, typer.Option(min=1, help="Version of OUT; by default the newest.")]
InputUrl = Annotated[list[str], typer.Option("--input", metavar="URL", help="Shards to read instead of the job's.")]
NUM_WHOLE = 24
"""Packs that a report has with text, mask and images unless it is told otherwise; they are most of its bytes."""


def print_json(value: dict[str, Any] | list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(value, indent=1, sort_keys=True))

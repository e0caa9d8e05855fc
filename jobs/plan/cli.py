"""`lodepack plan` on the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.options import InputUrl, JobFile, Json, Overrides

EXAMPLES = (
    "Examples: `lodepack plan jobs/quickstart.yaml`; "
    '`lodepack plan JOB.yaml --shards 8 --cluster "4x(cpus=16,gpus=1)"`; '
    "`lodepack plan JOB.yaml --nodes 4 --cpus 16 --gpus 1 --set sequence_length=16384 --json`"
)


def plan(
    job: JobFile,
    input: InputUrl = [],  # noqa: A002, B006 - the option's name; typer copies the default
    output: Annotated[str | None, typer.Option(metavar="URL", help="As if it were written here.")] = None,
    set: Overrides = [],  # noqa: A002, B006
    limit: Annotated[int | None, typer.Option(min=1, help="As `run --limit`: only the first N samples.")] = None,
    shards: Annotated[int, typer.Option(min=1, help="Shards of each source that are built to learn from.")] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="SHAPE", help="Nodes to reckon with; by default resources.grows_to, or this machine."),
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="So many nodes alike, with --cpus and --gpus.")] = None,
    cpus: Annotated[float | None, typer.Option(min=0.1, help="CPUs of each of --nodes.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each of --nodes.")] = 0,
    local: Annotated[bool, typer.Option("--local", help="Of `run --local`: no Ray.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="As `run --rebuild`: accept a changed recipe.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a run would build and why, and forecast what it makes and costs, without writing to the output.

    A few shards of each source are built in a temporary folder, spread over the sizes, and stand for the rest. Every
    number comes with an interval that holds it in nine cases of ten. Seconds are those of this machine's CPUs.
    """
    from jobs.chain import resolve_job
    from jobs.plan.clusters import shape_of, this_machine
    from jobs.plan.command import forecast_job
    from jobs.plan.screen import print_forecast
    from jobs.progress import Screen
    from jobs.spec import load_job

    named = shape_of(cluster, nodes, cpus, gpus, local=local)
    spec = load_job(job, set, input__shards=input or None, output=output, limit=limit)
    shape = named or spec.resources.largest or this_machine()
    resolved = resolve_job(spec)
    with Screen(quiet=as_json) as screen:
        found = forecast_job(resolved, shards=shards, shape=shape, local=local, rebuild=rebuild, progress=screen)
    if as_json:
        typer.echo(json.dumps(found, indent=1, sort_keys=True))
    else:
        print_forecast(found)

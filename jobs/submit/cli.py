"""`lodepack submit` on the command line."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer
from rich.console import Console

from jobs.options import InputUrl, JobFile, Json, Overrides, print_json
from jobs.secrets import redact
from jobs.terminal import printable

EXAMPLES = (
    "Examples: `lodepack submit job.yaml --address http://head:8265`; "
    "`lodepack submit job.yaml --address https://head --env AWS_ACCESS_KEY_ID --env AWS_SECRET_ACCESS_KEY --no-wait`"
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def submit(
    job: JobFile,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Dashboard of the cluster; by default RAY_API_SERVER_ADDRESS.")
    ] = None,
    input: InputUrl = [],  # noqa: A002, B006 - the option's name; typer copies the default
    output: Annotated[str | None, typer.Option(metavar="URL", help="Write there instead.")] = None,
    set: Overrides = [],  # noqa: A002, B006
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N samples.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Exactly N actors per operator.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Accept a changed recipe for this output.")] = False,
    working_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Paths start here, and all of it travels that no .gitignore leaves out."),
    ] = None,
    runtime_env: Annotated[
        str | None, typer.Option(metavar="FILE.yaml", help="Ray runtime environment, of which more is made.")
    ] = None,
    env: Annotated[
        list[str], typer.Option("--env", metavar="NAME", help="A variable of this process for the job; repeatable.")
    ] = [],  # noqa: B006
    install: Annotated[
        bool, typer.Option("--install", help="Nodes install our dependencies, as they are here; else the image's.")
    ] = False,
    certificates: Annotated[str | None, typer.Option(metavar="FILE", help="To trust for https.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End when the cluster has the job.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel-on-interrupt", help="Ctrl-C and SIGTERM end the job too, not the following alone.")
    ] = False,
    open_cluster: Annotated[
        bool, typer.Option("--open-cluster", help="Submit to a cluster that asks nobody for a token.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a job on a Ray cluster through its Jobs API, with this code, and follow it.

    Submit it again at any time: while it runs, that follows it; when it has ended, whether well or not, a new
    submission builds what is left. Ends with the exit code of the run.

    Tokenizers, encoders and profiles that the job names by relative paths travel with it, 100 MiB at most. Shards and
    output must be where every node sees them: a URL, or an absolute path.
    """
    from jobs.submit.command import checked_address
    from jobs.submit.command import submit as start
    from jobs.submit.request import Given, make_request

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def show(text: str) -> None:
        file = sys.stderr if as_json else sys.stdout
        file.write(printable(redact(COLOURS.sub("", text))))
        file.flush()

    def notice(text: str) -> None:
        console.print(printable(redact(text)), markup=False, emoji=False)

    options = [*(["--workers", str(workers)] if workers else []), *(["--rebuild"] if rebuild else [])]
    where = checked_address(address, open_cluster=open_cluster)
    request = make_request(Given(job, set, input, output, limit, options, working_dir, runtime_env, env, install))
    done = start(request, where, certificates, wait=not no_wait, cancel=cancel, show=show, notice=notice)
    if as_json:
        print_json(done)
    elif no_wait:
        typer.echo(done["submission"])
    if done["exit_code"]:
        raise typer.Exit(done["exit_code"])

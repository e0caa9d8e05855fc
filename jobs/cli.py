"""The command `lodepack`. Exit codes: 0 done, 1 failed (or something untrue found), 2 the job or the call is wrong."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from jobs.diff import cli as diff
from jobs.entity_grid import cli as entity_grid
from jobs.gather import cli as gather
from jobs.options import NUM_WHOLE, InputUrl, JobFile, Json, Overrides, VersionNumber, print_json
from jobs.plan import cli as plan
from jobs.prune import cli as prune
from jobs.report import cli as report_cli
from jobs.secrets import redact, refuse_secret_arguments
from jobs.stopping import Stopped, ending_on_signals
from jobs.submit import cli as submit
from jobs.terminal import printable
from jobs.training_cli import codebook_app, relevance_app, tokenizer_app
from pipeline.errors import ConfigError, LodepackError
from pipeline.without_pandas import keep_pandas_out

app = typer.Typer(
    name="lodepack",
    help="Turns WebDataset shards of images and text into packed training sequences for vision-language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Add `--debug` to any command for the traceback of an error.",
)
app.add_typer(tokenizer_app, name="tokenizer")
app.add_typer(relevance_app, name="relevance")
app.add_typer(codebook_app, name="codebook")

LIMIT_HELP = (
    "Only the first N samples; the rest of the shards it touches counts as withheld, further shards are not read."
)


@app.command(epilog="Example: `lodepack run jobs/quickstart.yaml --local --limit 20 --output build/try`")
def run(
    job: JobFile,
    input: InputUrl = [],  # noqa: A002, B006 - the option's name; typer copies the default
    output: Annotated[str | None, typer.Option(metavar="URL", help="Write here instead.")] = None,
    set: Overrides = [],  # noqa: A002, B006
    local: Annotated[bool, typer.Option("--local", help="No Ray: processes of this machine; the same bytes.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help=LIMIT_HELP)] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Exactly N actors per operator; with --local, N processes.")
    ] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDR", help="Ray cluster to run on.")] = None,
    open_cluster: Annotated[
        bool, typer.Option("--open-cluster", help="Run on a cluster that asks nobody for a token.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Accept a changed recipe for this output.")] = False,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write OUT/report.html too; by default with --limit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build, finish or bring up to date the data set of a job.

    Run it again after a crash: committed units are kept, the rest is built, the bytes are the same.
    """
    from jobs.build import run_job
    from jobs.chain import resolve_job
    from jobs.clusters import give_token, refuse_dashboard, refuse_open_cluster
    from jobs.progress import Screen, print_summary
    from jobs.report.command import write_report
    from jobs.spec import absolute, load_job

    if local and address:
        raise ConfigError("--local runs on this machine alone; leave out --address")
    if local:
        keep_pandas_out()
    spec = load_job(job, set, input__shards=input or None, output=output, limit=limit, address=address)
    if not local and spec.address is not None:
        refuse_dashboard(spec.address)
        if not open_cluster:
            refuse_open_cluster(spec.address, os.environ, Path.home())
        give_token(os.environ, Path.home())
    resolved = resolve_job(spec)
    # Ray prints what its raylet says on standard output, which is for the summary alone.
    with redirect_stdout(sys.stderr), Screen(quiet=as_json, bars=local) as screen:
        summary = run_job(resolved, local=local, workers=workers, rebuild=rebuild, progress=screen)
        if report or (report is None and spec.limit is not None):  # whoever tries something out wants to look at it
            summary["report"] = write_report(absolute(spec.output), None, num_whole=NUM_WHOLE)["report"]
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)


@app.command(
    epilog="Examples: `lodepack inspect build/quickstart --pack 0`; "
    "`lodepack inspect build/quickstart --explain 00000004`; `lodepack inspect --profile llava_next 640x480`; "
    "`lodepack inspect --profile qwen3_vl --video 10 640x480`"
)
def inspect(
    what: Annotated[
        list[str], typer.Argument(metavar="OUT | WxH", help="Output; or, with --profile, image sizes.")
    ] = [],  # noqa: B006
    pack: Annotated[
        str | None, typer.Option(metavar="N|ID", help="Show one pack whole: its number, from 0, or its id.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="What became of the sample KEY, SHARD/KEY or SHARD/KEY#ORDINAL.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show what this model family makes of an image.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Packs to list; 10 by default.")] = None,
    video: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="With --profile: of a video that lasts so long.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames a second of that video.")] = 25.0,
    as_json: Json = False,
) -> None:
    """Show packs, views, budgets and text; the fate of one sample; or the plan of one image or video.

    With --profile and --json: `visual_tokens` counts every id that the image adds, markers included (a mark that is
    text to the tokenizer, such as a line break or the name of a tile in Idefics3, as one); `placeholders` those alone
    that features replace, newline embeddings among them; `grid` is [rows, columns] of tiles, or of merged
    tokens for families that slice none; `box` is [left, top, right, bottom] in pixels. Several sizes give a list.
    """
    from jobs.inspect.command import inspect_output, inspect_sizes

    if profile is not None:
        if pack is not None or explain is not None or limit is not None:
            raise ConfigError("--profile shows the plan of image sizes; leave out --pack, --explain and --limit")
        found = inspect_sizes(profile, what, show=not as_json, seconds=video, fps=fps)
    elif video is not None:
        raise ConfigError("--video shows what a profile makes of a video; name one with --profile")
    else:
        found = inspect_output(what, pack=pack, explain_id=explain, limit=limit, show=not as_json)
    if as_json:
        print_json(found)


@app.command(epilog="Example: `lodepack stats build/quickstart`")
def stats(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output of a run.")],
    version: VersionNumber = None,
    as_json: Json = False,
) -> None:
    """Count documents, images and tokens of each source, and what each filter removed.

    Of a filter's rule: `first` is what it removed as the first that spoke, `also` what breaks it and was removed by
    another before, `alone` what no other rule would have removed. Reads indexes and rejects, no pack.

    With --json: `sources` by name, and `all` together. In each, `documents`, `images`, `texts` and `tokens` are those
    of the tables; `filters`, `overlap` (by two rules; by a rule and itself, all that break it) and `reasons` have
    `documents` and `segments`. A document counts as often as it is packed; an image's tokens are its placeholders.
    """
    from jobs.stats.command import statistics

    found = statistics(output, version=version, show=not as_json)
    if as_json:
        print_json(found)


@app.command(epilog="Example: `lodepack verify build/quickstart --input '/data/shards-*.tar'`")
def verify(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output of a run.")],
    input: Annotated[  # noqa: A002 - the option's name
        list[str], typer.Option("--input", metavar="URL", help="Where the shards are, if not where the run read them.")
    ] = [],  # noqa: B006
    tokenizer: Annotated[str | None, typer.Option(metavar="FILE", help="The tokenizer, if it was moved.")] = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Instead: list what runs that never ended left, and nobody committed.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="With --orphans: remove what is old enough.")] = False,
    min_age: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Younger ones stay: a run may be about to commit them.")
    ] = 24.0,
    as_json: Json = False,
) -> None:
    """Check an output against its inputs, independently of the code that built it.

    Exit 0: nothing untrue was found. Exit 1: the list of what is untrue. Exit 2: no output, or no inputs.
    """
    if orphans:
        from jobs.verify.orphans import report_orphans, to_lines

        left_over = report_orphans(output, remove=remove, min_age_hours=min_age)
        if as_json:
            print_json(left_over)
        else:
            typer.echo(printable("\n".join(to_lines(left_over, remove=remove, min_age_hours=min_age))))
        return
    if remove:
        raise ConfigError("--remove removes what --orphans lists; say both")
    from jobs.verify import verify as check

    report = check(output, input, tokenizer)
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(printable("\n".join(report.to_lines())))
    if report.findings:
        raise typer.Exit(1)


@app.command(
    epilog="Example: `lodepack requeue build/quickstart --to build/again --reason image-too-large` and "
    "`lodepack run build/again/requeue.yaml --set limits.max_image_pixels=400000000`"
)
def requeue(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output of a run.")],
    to: Annotated[str, typer.Option(metavar="DIR", help="New or empty folder.")],
    reason: Annotated[
        list[str], typer.Option(metavar="R", help="Only samples rejected for this reason; repeatable.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Make a job of the rejects: shards with the rejected samples as they were, and the job that packs them.

    What is damage of a shard itself, and no sample, cannot be requeued; it is counted.
    """
    from jobs.requeue import print_requeued, requeue_rejects

    requeued = requeue_rejects(output, to, reason)
    if as_json:
        print_json(requeued)
    else:
        print_requeued(requeued)


@app.command(epilog="Example: `lodepack samples /tmp/try && lodepack run /tmp/try/quickstart.yaml --local`")
def samples(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="New or empty folder.")],
    as_json: Json = False,
) -> None:
    """Write the small sample shards, a tokenizer and a job that runs on them."""
    from jobs.bundled import write_samples

    written = write_samples(folder)
    if as_json:
        print_json(written)
    else:
        typer.echo(f"wrote {', '.join(written['files'])} to {written['folder']}")
        typer.echo(f"next: lodepack run {written['folder']}/quickstart.yaml --local")


@app.command(epilog="Example: `lodepack export build/quickstart --to webdataset --output build/webdataset`")
def export(
    source: Annotated[str, typer.Argument(metavar="OUT", help="Output of a run.")],
    to: Annotated[str, typer.Option(help="energon, mds or webdataset.")],
    output: Annotated[str, typer.Option(metavar="URL", help="New or empty folder or URL to write to.")],
    version: VersionNumber = None,
    shard_size: Annotated[
        int, typer.Option(min=1, metavar="MIB", help="A shard ends before it is larger; a pack is never cut.")
    ] = 512,
    as_json: Json = False,
) -> None:
    """Write the packs of an output in the format of another loader: every column, every byte of pixels.

    energon and webdataset need `pip install 'lodepack[export]'`. An export that was stopped has no index, so its
    reader does not take it for whole; export again, into another folder.
    """
    from jobs.export.command import export_packs
    from jobs.progress import Screen

    with Screen(quiet=as_json) as screen:
        written = export_packs(source, to, output, version=version, shard_bytes=shard_size << 20, progress=screen)
    if as_json:
        print_json(written)
    else:
        typer.echo(
            f"wrote {written['num_packs']:,} packs of version {written['version']} in {written['num_shards']:,} "
            f"{to} shard(s), {written['num_bytes']:,} bytes, to {written['export']}"
        )


# Commands that have a file of their own.
for file, command in (
    (submit, submit.submit),
    (plan, plan.plan),
    (gather, gather.gather),
    (entity_grid, entity_grid.entity_grid),
    (report_cli, report_cli.report),
    (diff, diff.diff),
    (prune, prune.prune),
):
    app.command(epilog=file.EXAMPLES)(command)


def main() -> None:
    """Runs the command; of an error of the user's or of storage's it prints a line a mistake, no traceback.

    --debug, wherever it stands, asks for the traceback. No secret of the environment is printed with either.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        with ending_on_signals():
            refuse_secret_arguments(sys.argv[1:])
            app()
    except LodepackError as error:
        lines = [line if line.startswith(" ") else f"error: {line}" for line in str(error).splitlines()]
        _end(2 if isinstance(error, ConfigError) else 1, "\n".join(lines), traced=debug)
    except Stopped as stopped:
        _end(stopped.exit_code, f"{stopped}; run it again: what a build committed is kept", traced=debug)
    except Exception:  # noqa: BLE001 - a mistake of ours, which is told whole
        _end(1, "", traced=True)


def _end(code: int, text: str, *, traced: bool) -> NoReturn:
    """Prints the text, or the traceback of what was raised, and exits."""
    shown = printable(redact(traceback.format_exc() if traced else text)).rstrip()
    Console(stderr=True, highlight=False, soft_wrap=True).print(shown, markup=False, emoji=False)
    raise SystemExit(code) from None

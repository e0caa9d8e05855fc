"""`lodepack gather` on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.options import Json
from jobs.terminal import printable

EXAMPLES = (
    "Examples: `lodepack gather llava_v1_5_mix665k.json --format conversations --images data --output build/llava`; "
    "`lodepack gather docs_shard_0_v3.jsonl --format mmc4 --images mmc4-images --output build/mmc4 --skip-missing`; "
    "`lodepack gather comm.json --format comm --images comm-images --output build/comm`; "
    "`lodepack gather clips.jsonl --format video --images clips --output build/clips`"
)


def gather(
    source: Annotated[list[str], typer.Argument(metavar="SOURCE", help="JSON list or JSONL file; several in order.")],
    format: Annotated[str, typer.Option(help="conversations (LLaVA, ShareGPT), mmc4, comm or video.")],  # noqa: A002
    images: Annotated[str, typer.Option(metavar="DIR", help="Folder that the paths of pictures or videos start from.")],
    output: Annotated[str, typer.Option(metavar="URL", help="New or empty folder or URL to write shards to.")],
    shard_size: Annotated[
        int, typer.Option(min=1, metavar="MIB", help="A shard ends before it is larger; a document is never cut.")
    ] = 512,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing",
            help="Missing pictures are no failure: an MMC4 document goes on without them, others are left out.",
        ),
    ] = False,
    frames: Annotated[
        str, typer.Option(metavar="RULE", help="Of videos: qwen (--fps, 4 to 768) or dynamic_vlm (1 a second).")
    ] = "qwen",
    fps: Annotated[float, typer.Option(min=0.01, help="Of videos, qwen: frames to take a second.")] = 2.0,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Of videos, dynamic_vlm: the most to take; 100 by default.")
    ] = None,
    stamps: Annotated[
        bool, typer.Option("--stamps", help="Of videos: each frame behind its second, as Dynamic-VLM's (interleaved).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make strict WebDataset shards, once, of documents whose pictures lie loose in a folder.

    A record becomes `NNNNNNNNN.json` and `NNNNNNNNN.0.jpg` …, under its number in SOURCE, and is read with the same
    format. Records that a build would reject are left out, and each is told with its file and line or byte. Pictures
    outside DIR are refused. Of a record {"video": "a.mp4", "caption": "…"} the chosen frames are taken, which needs
    `pip install 'lodepack[video]'`; the sample reads as `frames`, or with --stamps as `interleaved`, and its
    JSON gets `timestamps`, in seconds, and `frame_numbers`. Exit 1 if one was left out, unless only pictures
    lacked and --skip-missing is said.
    """
    from jobs.gather.command import gather as run
    from jobs.gather.video import choice_of
    from jobs.progress import Screen

    with Screen(quiet=as_json) as screen:
        done = run(
            source,
            output,
            format=format,
            images=images,
            shard_bytes=shard_size << 20,
            skip_missing=skip_missing,
            notice=screen.notice,
            choice=choice_of(frames, fps, max_frames, stamps=stamps),
        )
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=1, sort_keys=True))
    else:
        typer.echo(
            printable(
                f"wrote {done.documents:,} documents with {done.images:,} pictures in {done.shards:,} shard(s), "
                f"{done.bytes:,} bytes, to {output}; left out: {done.missing:,} for missing files, "
                f"{done.invalid:,} for what they say, and {done.dropped_images:,} pictures of documents that stayed"
            )
        )
    if done.invalid or (done.missing and not skip_missing):
        raise typer.Exit(1)

"""`lodepack entity-grid` on the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.options import Json, print_json
from jobs.terminal import printable

EXAMPLES = "Example: `lodepack entity-grid build/entities --documents 1000 --seed 7`"


def entity_grid(
    output: Annotated[str, typer.Argument(metavar="DIR", help="New or empty folder or URL to write shards to.")],
    documents: Annotated[int, typer.Option(min=1, metavar="N", help="Documents to make.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="S", help="Another seed, other documents.")] = 0,
    shard_size: Annotated[
        int, typer.Option(min=1, metavar="MIB", help="A shard ends before it is larger; a document is never cut.")
    ] = 512,
    as_json: Json = False,
) -> None:
    """Make shards that show what slicing cuts: EntityGrid-QA, as HiRes-LLaVA describes it.

    Each document is a white picture of 672 x 672 with one or two shapes at nine places, and one question: what is
    there, where it is, or how many there are. It reads as `conversations`; its JSON also has each shape's box. Tells
    what share of the shapes the seams between 2 x 2 slices cut: at the middle centre a shape is in four slices, in a
    corner in one.
    """
    from jobs.entity_grid.command import make_entity_grid
    from jobs.progress import Screen

    with Screen(quiet=as_json) as screen:
        made = make_entity_grid(
            output, documents=documents, seed=seed, shard_bytes=shard_size << 20, notice=screen.notice
        )
    if as_json:
        print_json(asdict(made))
        return
    typer.echo(
        printable(
            f"wrote {made.documents:,} documents with {made.entities:,} entities in {made.shards:,} shard(s), "
            f"{made.bytes:,} bytes, to {output}\n"
            f"seams between {made.columns} x {made.rows} slices cut {made.crossing:,} entities, "
            f"{made.crossing_rate:.1%}; with the best grid of as many slices for each picture "
            f"{made.least_crossing:,}, {made.least_crossing_rate:.1%}"
        )
    )

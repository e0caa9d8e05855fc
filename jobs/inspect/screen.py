"""Prints what `packs`, `explain` and `plan` found, for people; it adds no facts of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from jobs.inspect.draw import (
    LEGEND,
    bar,
    budget_cell,
    grid_box,
    heat_map,
    image_line,
    merged,
    percent,
    plural,
)
from jobs.inspect.find import SampleId
from jobs.terminal import printable
from pipeline.errors import Reason
from pipeline.operator import Row

MIN_BAR = 12
NUMBERS = ("#", "pack", "fill", "documents", "images", "text", "visual", "markers", "padding")
MAPS = ("propositional", "perspectival", "participatory", "combined")
ASKED = {"user": "what its user says", "neighbours": "the text beside it", "none": "nothing"}


def print_overview(summary: Mapping[str, Any], packs: Iterable[tuple[Mapping[str, Any], Row]]) -> None:
    """Totals, then a table of packs: each as its `count` and as its row, from which its bar is drawn."""
    console = _console()
    totals = summary["totals"]
    counts = ("read", *(["derived"] if totals["samples"]["derived"] else []), "packed", "rejected", "withheld")
    samples = ", ".join(f"{totals['samples'][name]:,} {name}" for name in counts)
    title = printable(f"{summary['output']} version {summary['version']}: {summary['profile']}")
    console.print(title, style="bold")
    console.print(
        f"{plural(summary['num_packs'], 'pack')} of {summary['sequence_length']:,} tokens "
        f"in {plural(summary['num_units'], 'unit')}, {summary['fill']:.2%} full"
    )
    console.print(f"samples: {samples}")
    for reason, amount in sorted(summary["reasons"].items(), key=lambda item: -item[1]):
        console.print(printable(f"rejected {reason}: {amount:,}"))
    if summary["withheld_shards"]:
        console.print(f"withheld by a limit: {plural(len(summary['withheld_shards']), 'further shard')}, not read")
    rows = list(packs)
    lines = [NUMBERS, *(_numbers(pack) for pack, _ in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    indent = widths[0] + 2
    for line, found in zip(lines, [None, *rows], strict=True):
        console.print()
        cells = zip(line, widths, "><" + ">" * len(line), strict=False)
        console.print(
            "  ".join(f"{cell:{side}{width}}" for cell, width, side in cells), style=None if found else "bold", end=""
        )
        if found:
            picture = bar(found[1]["modality"], found[1]["samples"], max(MIN_BAR, console.width - indent))
            console.print("\n" + " " * indent, picture, sep="", end="")
    console.print("\n")
    left = summary["num_packs"] - len(rows)
    console.print(LEGEND + (f"; {left:,} more packs: --limit {summary['num_packs']}" if left else ""), style="dim")


def print_pack(pack: Mapping[str, Any], row: Row) -> None:
    """One pack: its bar, then each document with its text and its images where they stand."""
    console = _console()
    tokens = ", ".join(f"{amount:,} {name}" for name, amount in pack["tokens"].items())
    console.print(f"pack {pack['number']}: {pack['pack_id']}", style="bold")
    console.print(f"{len(row['modality']):,} tokens, {pack['fill']:.2%} full: {tokens}")
    console.print(f"{plural(pack['num_documents'], 'document')}, {plural(pack['num_images'], 'image')}")
    console.print(bar(row["modality"], row["samples"], console.width))
    console.print(LEGEND, style="dim")
    if pack["text_missing"]:
        console.print(printable(f"text is not shown: {pack['text_missing']}"), style="yellow")
    for document in pack["documents"]:
        part = f", part {document['part'] + 1} of {document['num_parts']}" if document["num_parts"] > 1 else ""
        part += f", copy {document['copy'] + 1}" if document["copy"] else ""
        name = SampleId(*(document[field] for field in SampleId._fields))
        console.print()
        title = printable(f"{name}{part}: {_span(document['start'], document['length'])}")
        console.print(Rule(Text(title), align="left"))
        for piece in document["content"]:
            if piece["kind"] == "image":
                line = image_line(piece["image"], piece["picture"], piece["views"], piece["tokens"])
                console.print(Text(line, "bold"))
                _print_maps(console, piece["views"], None)
            elif piece["kind"] == "ids":
                console.print(Text(f"[picture written as {plural(piece['tokens'], 'id')}]", "bold"))
            elif piece["text"] is None:
                console.print(f"({plural(piece['tokens'], 'token')} of text)", style="dim")
            else:
                console.print(Text(printable(piece["text"])))


def print_explanation(found: Mapping[str, Any]) -> None:
    """The fate of one sample: its packs or its rejection, then its segments."""
    console = _console()
    name = printable(str(SampleId(**found["id"])))
    why = found["rejection"]
    if found["outcome"] == "withheld":
        console.print(f"{name}: withheld by a limit or its weight; it was not read further than its name", style="bold")
    if found["outcome"] == "packed":
        console.print(f"{name}: packed", style="bold")
    if why:
        console.print(printable(f"{name}: rejected by {why['operator']}: {why['reason']}"), style="bold red")
        console.print(Text(f"why: {printable(why['detail'])}"))
        console.print(Text(f"where: shard {why['shard']}, {_place(why)}"))
    if found["made_of"]:
        original = SampleId(**{field: found["made_of"][field] for field in SampleId._fields})
        console.print(Text(f"made of: {printable(str(original))}, by {found['made_of']['view']}"))
    if found["lengths"]:
        tokens, images, patches = (found["lengths"][name] for name in ("tokens", "images", "patches"))
        console.print(f"measured: {plural(tokens, 'token')}, {plural(images, 'image')}, {patches:,} patches")
    for part in found["parts"]:
        which = f"part {part['part'] + 1} of {part['num_parts']}: " if part["num_parts"] > 1 else ""
        which = f"copy {part['copy'] + 1}, {which}" if part["copy"] else which
        console.print(f"{which}pack {part['pack_id']}, {_span(part['start'], part['length'])}")
    if found["text_missing"]:
        console.print(printable(f"text is not shown: {found['text_missing']}"), style="yellow")
    for segment in found["segments"]:
        _print_segment(console, segment)


def print_plan(profile: str, size: str, plan: Mapping[str, Any]) -> None:
    """The plan of one image size: counts, its views drawn as boxes, its layout."""
    console = _console()
    counts = ", ".join(plural(plan[name], name.replace("_", " ")[:-1]) for name in ("visual_tokens", "placeholders"))
    console.print(f"{profile} {size}: {counts}", style="bold")
    drawings: list[Text] = []
    for kind in dict.fromkeys(view["kind"] for view in plan["views"]):
        views = [view for view in plan["views"] if view["kind"] == kind]
        rows, columns = (1 + max(view[axis] for view in views) for axis in ("row", "col"))
        shape = views[0]["width"], views[0]["height"]
        labels = [f"{view['cols']}x{view['rows']} = {view['tokens']:,}" for view in views[: rows * columns]]
        number = "" if len(views) == 1 else f" {columns}x{rows}, each"
        if kind == "frame":  # all alike: one is drawn
            number = f", {plural(len(views), 'step')} of {plural(plan['num_frames'], 'frame')}, each"
        title = Text(f"{kind}{number} {shape[0]}x{shape[1]} px", "dim")
        drawings.append(Text("\n").join([title, grid_box(rows, columns, shape, labels)]))
    console.print(Columns(drawings, padding=(0, 3)))
    console.print(Text.assemble(("layout  ", "dim"), plan["layout"]))
    console.print()


def _print_segment(console: Console, segment: Mapping[str, Any]) -> None:
    """One segment: what it is and what became of it; its place; its text or its maps."""
    reason = segment["reason"]
    style = "bold" if reason in {None, Reason.SAMPLE_REJECTED} else "bold red"
    facts = []
    if reason is not None:
        why = f"{reason}: {printable(segment['detail'])}"
        facts = ["sound, left out with its sample" if reason == Reason.SAMPLE_REJECTED else why]
    if segment["kind"] == "text":
        spoken = "" if segment["role"] is None else f", {segment['role']}'s turn, {segment['trained']} trained"
        facts.insert(0, f"text, {plural(segment['tokens'], 'token')}{spoken}")
    if segment["kind"] == "image":
        plan = segment["plan"]
        picture = plan["width"], plan["height"]
        if plan["views"]:
            facts.insert(0, image_line(segment["image"], picture, plan["views"], segment["tokens"]))
        else:
            size, ids = f"{picture[0]}x{picture[1]}", plural(segment["tokens"], "id")
            facts.insert(0, f"[image {segment['image']}: {size} → {plan['grid_w']}x{plan['grid_h']} codes in {ids}]")
    console.print(Text(f"{segment['number']:>3}  {': '.join(facts)}", style))
    place = f", token {segment['start']:,} of pack {segment['pack_id']}" if segment.get("pack_id") else ""
    where = f"{_place(segment)}{place}" if segment["size"] or segment["member"] else "of the view's own, in no shard"
    console.print(Text(f"     {where}", "dim"))
    if segment["kind"] == "image":
        if segment["relevance"]:
            console.print(Text(f"     {_asked(segment['relevance'])}", "dim"))
        if segment["reduction"]:
            console.print(Text(f"     {_reduced(segment['reduction'])}", "dim"))
        if segment["plan"]["views"]:
            _print_maps(console, segment["plan"]["views"], segment["relevance"])
    elif segment.get("text"):
        text = Text(" ".join(printable(segment["text"]).split()), overflow="ellipsis", no_wrap=True)
        console.print(Padding(text, (0, 0, 0, 5)))


def _reduced(reduction: Mapping[str, Any]) -> str:
    """What becomes of an image's tokens, in the sequence, in the layers and late in an answer."""
    found = [f"{' and '.join(reduction['methods'])}: {reduction['num_kept']:,} of {reduction['num_tokens']:,} tokens"]
    for name, at in (("schedule", "layer"), ("decay", "answer_token")):
        steps = ", ".join(f"{step['tokens']:,} from {step[at]}" for step in reduction[name] or [])
        found += [f"by {at.replace('_', ' ')}: {steps}"] if steps else []
    if reduction["expand"] is not None:
        found.append(f"{reduction['expand']['tokens']:,} again from layer {reduction['expand']['layer']}")
    return "; ".join(found)


def _asked(relevance: Mapping[str, Any]) -> str:
    """What an image was asked, and how much each map that has something to say counts."""
    query = relevance["query"]
    numbers = " and ".join(map(str, query["segments"]))
    where = f" ({'segments' if len(query['segments']) > 1 else 'segment'} {numbers})" if numbers else ""
    seeking = ", which counts or locates" if query["is_seeking"] else ""
    weights = zip(MAPS, relevance["weights"], strict=False)
    shares = ", ".join(f"{weight / 10:.1f} %" for name, weight in weights if relevance[name] is not None)
    return f"asked by {ASKED[query['origin']]}{where}{seeking}; maps weighed {shares}"


def _print_maps(console: Console, views: Sequence[Mapping[str, Any]], relevance: Mapping[str, Any] | None) -> None:
    """Relevance in percent and tokens of each region, side by side; without maps, the relevance that the views hold."""
    blocks = merged(views)
    lines = [(block["kind"], block["row"]) for block in blocks]
    drawn = []
    if relevance is not None:
        maps = {name: relevance[name] for name in MAPS if relevance[name] is not None}
        # Views that share the tokens of a whole image stand in larger blocks than regions of relevance do.
        grid = [i // relevance["cols"] for i in range(len(relevance["combined"]))]
        own = grid if views[0]["kind"] == "region" else lines
        drawn = [heat_map(f"{name} %", own, [(percent(v), v) for v in values]) for name, values in maps.items()]
    elif all(block["relevance"] is not None for block in blocks):
        heats = [block["relevance"] for block in blocks]
        drawn = [heat_map("relevance %", lines, [(percent(heat), heat) for heat in heats])]
    title = "tokens" if all(block["budget"] is None for block in blocks) else "tokens/budget"
    drawn.append(heat_map(title, lines, [(budget_cell(block), None) for block in blocks]))
    console.print(Padding(Columns(drawn, padding=(0, 4)), (0, 0, 0, 5)))


def _numbers(pack: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of NUMBERS."""
    counts = (pack["num_documents"], pack["num_images"], *pack["tokens"].values())
    return f"{pack['number']}", pack["pack_id"], f"{pack['fill']:.1%}", *(f"{amount:,}" for amount in counts)


def _span(start: int, length: int) -> str:
    return f"tokens {start:,} to {start + length - 1:,} ({length:,})"


def _place(found: Mapping[str, Any]) -> str:
    member = f"{printable(found['member'])} " if found["member"] else ""
    return f"{member}at byte {found['offset']:,}, {plural(found['size'], 'byte')}"


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)

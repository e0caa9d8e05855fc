"""Bars, heat maps and boxes in letters, readable with and without colour."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.text import Text

from pipeline.types import Modality

DOCUMENT_COLORS = ("cyan", "yellow", "green", "magenta", "blue", "red")
PADDING, TEXT, VISUAL = 0, 1, 2
GLYPHS = {PADDING: "·", TEXT: "░", VISUAL: "█"}
LEGEND = "░ text  █ image  · padding; a colour is a document"
HEAT = ("blue", "cyan", "green", "yellow", "red")
SHADES = ("·", "░", "▒", "▓", "█")
FULL = 255
"""Relevance of a region that shows most; maps are 8-bit."""
BOX_COLUMNS, BOX_LINES = 40, 10
"""Largest drawing of an image, in letters."""

View = Mapping[str, Any]


def bar(modality: np.ndarray, samples: Sequence[Mapping[str, Any]], width: int) -> Text:
    """A pack as `width` letters, each what most of its tokens are: colour says document, shade says modality."""
    kinds = np.where(modality == Modality.PADDING, PADDING, np.where(modality == Modality.TEXT, TEXT, VISUAL))
    documents = np.zeros(len(modality), np.int64)
    for i, sample in enumerate(samples):
        documents[sample["start"] : sample["start"] + sample["length"]] = i
    codes = documents * len(GLYPHS) + kinds
    edges = np.linspace(0, len(codes), width + 1).astype(int)
    line = Text()
    for first, last in pairwise(edges.tolist()):
        document, kind = divmod(int(np.bincount(codes[first : max(last, first + 1)]).argmax()), len(GLYPHS))
        style = "dim" if kind == PADDING else DOCUMENT_COLORS[document % len(DOCUMENT_COLORS)]
        line.append(GLYPHS[kind], style)
    return line


def heat_map(title: str, lines: Sequence[Hashable], cells: Sequence[tuple[str, int | None]]) -> Text:
    """Cells, each a label and its heat (0..255), side by side where they have the same of `lines`.

    A single cell stands beside the title.
    """
    width = max(len(label) for label, _ in cells)
    drawn = Text.assemble((title, "dim"))
    before: Hashable = None
    for line, (label, heat) in zip(lines, cells, strict=True):
        drawn.append("  " if line == before or len(cells) == 1 else "\n")
        before = line
        if heat is None:
            drawn.append(f"{label:>{width}}")
        else:
            level = heat * len(HEAT) // (FULL + 1)
            drawn.append(f"{SHADES[level]} {label:>{width}}", HEAT[level])
    return drawn


def merged(views: Sequence[View]) -> list[View]:
    """The views of each region as one, with their tokens in all and the highest relevance; other views as they are."""
    found: dict[Hashable, View] = {}
    for number, view in enumerate(views):
        place = (view["row"], view["col"]) if view["kind"] == "region" else number
        before = found.get(place)
        if before is not None:
            tokens, relevance = before["tokens"] + view["tokens"], max(before["relevance"], view["relevance"])
            found[place] = {**before, "tokens": tokens, "relevance": relevance}
        else:
            found[place] = view
    return list(found.values())


def image_line(image: int, picture: Sequence[int], views: Sequence[View], tokens: int) -> str:
    """An image in one line; its views are counted columns x rows, as sizes are width x height."""
    tiles = [view for view in merged(views) if view["kind"] != "whole"]
    grid = "whole"
    if tiles:
        columns, rows = 1 + max(view["col"] for view in tiles), 1 + max(view["row"] for view in tiles)
        thumbnail = "whole + " if len(tiles) < len(merged(views)) else ""
        kind = tiles[0]["kind"]
        grid = f"{thumbnail}1 {kind}" if len(tiles) == 1 else f"{thumbnail}{columns}x{rows} {kind}s"
        grid += f" in {len(views)} views" if len(merged(views)) < len(views) else ""
    return f"[image {image}: {grid}, {picture[0]}x{picture[1]} → {plural(tokens, 'token')}]"


def budget_cell(view: View) -> str:
    """Tokens of a view or region, and its budget where the rendering stays below it."""
    if view["budget"] is None or view["budget"] == view["tokens"]:
        return f"{view['tokens']}"
    return f"{view['tokens']}/{view['budget']}"


def percent(relevance: int) -> str:
    return f"{round(100 * relevance / FULL)}"


def grid_box(rows: int, columns: int, cell: tuple[int, int], labels: Sequence[str]) -> Text:
    """A grid of `rows` x `columns` equal boxes of the aspect of `cell` (width, height in pixels), labels inside."""
    scale = min(BOX_COLUMNS / (columns * cell[0]), 2 * BOX_LINES / (rows * cell[1]))
    wide = max(round(cell[0] * scale), *(len(label) + 2 for label in labels))
    high = max(round(cell[1] * scale / 2), 1)

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join(["─" * wide] * columns) + right

    lines = [rule("┌", "┬", "┐")]
    for row in range(rows):
        if row:
            lines.append(rule("├", "┼", "┤"))
        for line in range(high):
            inside = [label if line == high // 2 else "" for label in labels[row * columns : (row + 1) * columns]]
            lines.append("│" + "│".join(f"{label:^{wide}}" for label in inside) + "│")
    lines.append(rule("└", "┴", "┘"))
    return Text("\n".join(lines))


def plural(amount: int, noun: str) -> str:
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"

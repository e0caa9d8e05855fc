"""What holds of an image that is written as ids: its grid, the order of its ids and marks, and that it was to be so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.verify.plans import lay_runs
from jobs.verify.records import Discrete
from operators.discrete.layouts import LAYOUTS
from operators.tokenizers import Tokenizer
from pipeline.errors import InputError
from pipeline.types import Modality

Row = dict[str, Any]
SCHEME = "discrete"
MARKS = {"chameleon": ("boi", "eoi"), "emu3": ("boi", "img", "eol", "eof", "eoi"), "llamagen": ()}
"""Marks by the order of their ids, behind those of the codes."""


def is_discrete(segment: Row) -> bool:
    """Whether an image of the index is written as ids."""
    return bool(segment["plan"]["scheme"] == SCHEME)


def discrete_faults(plan: Row, runs: list[Row], discrete: Discrete | None, tokenizer: Tokenizer) -> Iterator[str]:
    """What is untrue of such an image by itself, a line each."""
    if discrete is None:
        yield "is written as ids, and the job has no codebook"
        return
    if plan["views"] or plan["canvas"] is not None:
        yield f"is written as ids, and has {len(plan['views'])} views; none expected"
    try:
        width, height = LAYOUTS[discrete.layout].size(plan["width"], plan["height"])
    except InputError as error:
        yield f"is a picture that cannot be coded: {error}"
        return
    rows, cols = height // discrete.downsample, width // discrete.downsample
    if (plan["grid_h"], plan["grid_w"]) != (rows, cols):
        yield f"has {plan['grid_h']}x{plan['grid_w']} codes; {rows}x{cols} expected"
        return
    ids, modality, view = lay_runs(runs)
    if (view != -1).any():
        yield "is written as ids, and features replace some of them"
    last = discrete.first_id + discrete.codes
    codes = [int(i) for i in ids if discrete.first_id <= i < last]
    if len(codes) != rows * cols:
        yield f"has {len(codes)} ids of {discrete.first_id} to {last - 1}; {rows * cols} expected"
        return
    expected = _laid(codes, rows, cols, discrete, tokenizer)
    if ids.tolist() != expected:
        yield f"has ids in another order than layout {discrete.layout}"
    wrong = (ids >= discrete.first_id) != (modality == Modality.DISCRETE)
    if wrong.any() or (modality[ids < discrete.first_id] != Modality.MARKER).any():
        yield "has a modality that does not fit its id: discrete from the codebook's first on, marker below, expected"


def _laid(codes: list[int], rows: int, cols: int, discrete: Discrete, tokenizer: Tokenizer) -> list[int]:
    """The ids of an image with these codes."""
    if discrete.layout == "llamagen":
        return codes
    mark = {name: discrete.first_id + discrete.codes + i for i, name in enumerate(MARKS[discrete.layout])}
    if discrete.layout == "chameleon":
        return [mark["boi"], *codes, mark["eoi"]]
    (size,) = tokenizer.encode([f"{rows}*{cols}"])
    found = [mark["boi"], *size, mark["img"]]
    for row in range(rows):
        found += [*codes[row * cols : (row + 1) * cols], mark["eol"]]
    return [*found, mark["eof"], mark["eoi"]]


def choice_faults(row: Row, discrete: Discrete | None, *, is_derived: bool) -> Iterator[str]:
    """Images that are ids though the job chose them to keep their views, or the other way round.

    Numbers of a derived sample are its own, so nothing is told of it; of every second picture nothing where a filter
    dropped one, which counted.
    """
    if discrete is None or is_derived or (discrete.images == "alternate" and row["dropped"]):
        return
    choice = discrete.choice
    images = [segment for segment in row["segments"] if segment["plan"] is not None]
    for image, segment in enumerate(sorted(images, key=lambda one: int(one["number"]))):
        place = (row["id"]["shard"], row["id"]["ordinal"], segment["number"], image)
        if is_discrete(segment) != choice.chooses(*place):
            yield f"segment {segment['number']} is {'ids' if is_discrete(segment) else 'views'}; the other expected"

"""What holds of an image that is written as ids: its grid, the order of its ids and marks, and that it was to be so."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jobs.verify.plans import lay_runs
from jobs.verify.records import Discrete
from operators.tokenizers import Tokenizer
from pipeline.types import Modality

Row = dict[str, Any]
SCHEME = "discrete"
MARKS = {"chameleon": ("boi", "eoi"), "emu3": ("boi", "img", "eol", "eof", "eoi"), "llamagen": ()}
"""Marks by the order of their ids, behind those of the codes."""
SQUARES = {"chameleon": 512, "llamagen": 256}
"""Pixels of a side of the square that is coded."""


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
    height, width = _coded_size(plan["height"], plan["width"], discrete.layout)
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


def _coded_size(height: int, width: int, layout: str) -> tuple[int, int]:
    """Pixels at which a picture is coded: a square, or for Emu3 multiples of 8 between 512² and 1024² pixels."""
    if layout in SQUARES:
        return SQUARES[layout], SQUARES[layout]
    sides = [round(side / 8) * 8 for side in (height, width)]
    least, most = 512**2, 1024**2
    if sides[0] * sides[1] > most:
        sides = [math.floor(side / math.sqrt(height * width / most) / 8) * 8 for side in (height, width)]
    elif sides[0] * sides[1] < least:
        sides = [math.ceil(side * math.sqrt(least / (height * width)) / 8) * 8 for side in (height, width)]
    return sides[0], sides[1]


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
    images = [segment for segment in row["segments"] if segment["plan"] is not None]
    for image, segment in enumerate(sorted(images, key=lambda one: int(one["number"]))):
        if is_discrete(segment) != _is_chosen(row["id"], int(segment["number"]), image, discrete):
            yield f"segment {segment['number']} is {'ids' if is_discrete(segment) else 'views'}; the other expected"


def _is_chosen(identity: Row, segment: int, image: int, discrete: Discrete) -> bool:
    """Whether the job writes a picture as ids: every one, every second one, or a share by a hash of its place."""
    if isinstance(discrete.images, str):
        return discrete.images == "all" or image % 2 == 1
    digest = hashlib.sha256(f"discrete {identity['shard']} {identity['ordinal']} {segment}".encode()).digest()
    return Fraction(int.from_bytes(digest[:4], "big"), 1 << 32) < Fraction(str(discrete.images))

"""Makes pictures whose every object can be asked for: shapes and words in a grid, with queries that fit just one.

What the small encoder is trained on and measured with. Everything comes from the numpy generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from operators.relevance import REGION
from operators.relevance.crop import grid
from operators.relevance.drawing import CANVAS, FONTS, SHAPES, shape_mask, word_mask
from operators.relevance.phrases import Query, Thing, queries_of

GRIDS = ((3, 3), (2, 3), (3, 2), (2, 2))
COLOURS = {
    "red": (214, 32, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 222, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 215),
    "purple": (130, 50, 170),
    "pink": (250, 150, 190),
    "brown": (120, 72, 30),
    "black": (20, 20, 20),
    "white": (250, 250, 250),
}
WORDS = (
    "open", "save", "close", "stop", "start", "exit", "file", "edit", "view", "help", "layer", "brush",
    "image", "menu", "tool", "next", "back", "print", "undo", "apply", "cancel", "crop", "zoom", "mask",
)  # fmt: skip
SIZES = {"large": (34, 40), "small": (14, 19)}
"""Radius in pixels of the canvas, whose half side is 48."""
FILLS = ("solid", "outlined", "striped")
CONTRAST = 110
"""Least distance of an object's RGB from the ground's, about that of two greys 64 levels apart."""
WORD_SHARE = 0.3
JITTER = 12
NOISE = (0, 2, 8)
"""Deviations of the noise on a picture, in grey levels."""


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [rows x REGION, cols x REGION, 3], of rows x cols regions, with what is in it."""

    picture: np.ndarray
    rows: int
    cols: int
    things: tuple[Thing, ...]
    queries: tuple[Query, ...]
    boxes: np.ndarray
    """Left, top, right, bottom of each object as shares of the picture, float32 [objects, 4]."""

    def regions(self) -> np.ndarray:
        """Regions row by row, uint8 [rows x cols, REGION, REGION, 3]."""
        grid = self.picture.reshape(self.rows, REGION, self.cols, REGION, 3)
        return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, REGION, REGION, 3)

    def places(self) -> np.ndarray:
        """Left, top, right, bottom of each region as shares of the picture, float32 [rows x cols, 4]."""
        return grid(self.rows, self.cols)


def make_scene(rng: np.random.Generator) -> Scene:
    """A scene of 2 to 5 objects, with every query that fits exactly one of them (at least one query)."""
    while True:
        rows, cols = GRIDS[rng.integers(len(GRIDS))]
        cells = rng.permutation(rows * cols)[: min(rng.integers(2, 6), rows * cols - 1)]
        things = _things(rng, [int(cell) for cell in cells])
        queries = queries_of(things, rows, cols, rng)
        if queries:
            picture, boxes = _picture(rng, things, rows, cols)
            return Scene(picture, rows, cols, things, queries, boxes)


def _things(rng: np.random.Generator, cells: list[int]) -> tuple[Thing, ...]:
    """One object a cell; those after the first may share its colour, its shape or both, and differ in the rest."""
    first = _thing(rng, cells[0])
    found = [first]
    for cell in cells[1:]:
        other = _thing(rng, cell)
        draw = rng.random()
        if draw < 0.3:
            other = replace(other, colour=first.colour)
        elif draw < 0.7 and first.shape != "word":
            fill = other.fill or first.fill
            other = replace(other, shape=first.shape, size=other.size or first.size, fill=fill, word="")
            if draw < 0.5:
                other = replace(other, colour=first.colour)
        found.append(_drawable(other))
    return tuple(found)


def _thing(rng: np.random.Generator, cell: int) -> Thing:
    colour = str(rng.choice(list(COLOURS)))
    if rng.random() < WORD_SHARE:
        return Thing(cell, "word", colour, word=str(rng.choice(WORDS)))
    shape, size, fill = (str(rng.choice(names)) for names in (SHAPES, list(SIZES), FILLS))
    return _drawable(Thing(cell, shape, colour, size, fill))


def _drawable(thing: Thing) -> Thing:
    """A circle's outline is a ring, and that of anything small, as its stripes, is a few grey pixels: solid instead."""
    if thing.fill == "outlined" and thing.shape in {"circle", "ring"}:
        return replace(thing, fill="solid")
    return replace(thing, fill="solid") if thing.size == "small" else thing


def _picture(
    rng: np.random.Generator, things: tuple[Thing, ...], rows: int, cols: int
) -> tuple[np.ndarray, np.ndarray]:
    """The picture and the boxes of what is drawn in it."""
    colours = [np.array(COLOURS[thing.colour]) + rng.integers(-JITTER, JITTER + 1, 3) for thing in things]
    pixels = _ground(rng, np.stack(colours), rows * REGION, cols * REGION)
    boxes = []
    for thing, colour in zip(things, colours, strict=True):
        row, col = divmod(thing.cell, cols)
        part = pixels[row * REGION : (row + 1) * REGION, col * REGION : (col + 1) * REGION]
        covered = np.asarray(Image.fromarray(_mask(rng, thing)).reduce(CANVAS // REGION))
        part += (colour - part) * (covered[:, :, None] / np.float32(255))
        boxes.append(np.tile([col, row], 2) + _extent(covered))
    noise = rng.standard_normal(pixels.shape, np.float32) * rng.choice(NOISE)
    seen: np.ndarray = np.floor((pixels + noise).clip(0, 255) + 0.5).astype(np.uint8)
    return seen, (np.stack(boxes) / [cols, rows, cols, rows]).astype(np.float32)


def _extent(covered: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of what is covered by half and more, as shares of the region."""
    down, across = (np.flatnonzero((covered > 127).any(axis=axis)) for axis in (1, 0))
    return np.array([across[0], down[0], across[-1] + 1, down[-1] + 1]) / REGION


def _ground(rng: np.random.Generator, colours: np.ndarray, height: int, width: int) -> np.ndarray:
    """A plain ground, or one that runs between two colours, both CONTRAST from every object, float32 [h, w, 3]."""
    start, end = (_away_from(rng, colours) for _ in range(2))
    if rng.random() < 0.5 or np.abs(start - end).sum() > CONTRAST:
        end = start
    down, across = ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))[rng.integers(3)]
    along = down * np.linspace(0, 1, height)[:, None] + across * np.linspace(0, 1, width)
    ground: np.ndarray = (start + (end - start) * along[:, :, None]).astype(np.float32)
    return ground


def _away_from(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Of 64 drawn colours, greys among them, the first that keeps CONTRAST, or the farthest."""
    drawn = rng.integers(0, 256, (64, 3))
    drawn[::2] = drawn[::2, :1]
    nearest = np.linalg.norm(drawn[:, None] - colours[None], axis=2).min(axis=1)
    enough = np.flatnonzero(nearest >= CONTRAST)
    chosen: np.ndarray = drawn[enough[0] if len(enough) else nearest.argmax()].astype(np.float64)
    return chosen


def _mask(rng: np.random.Generator, thing: Thing) -> np.ndarray:
    if thing.shape == "word":
        shift = rng.uniform(-0.4, 0.4, 2)
        font = FONTS[rng.integers(len(FONTS))]
        return word_mask(thing.word, font, rng.uniform(66, 90), (shift[0], shift[1]))
    radius = rng.uniform(*SIZES[thing.size])
    shift = rng.uniform(-1, 1, 2) * (CANVAS / 2 - radius - 2)
    return shape_mask(thing.shape, thing.fill, radius, rng.uniform(-0.2, 0.2), (shift[0], shift[1]))

"""Draws one object, a shape or a word, as a coverage mask: the hand of `scenes`."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import ConfigError

CANVAS = 96
"""Side of a mask in pixels, twice that of a region: the halving smooths edges."""
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart", "arrow", "moon")
FONTS = ("", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol")
"""The empty name is the font inside Pillow, the others are files that matplotlib brings."""
RING_HOLE = 0.55
"""Of the ring's radius; outlined shapes keep a far thinner line, and an outlined circle is never drawn."""
OUTLINE = 7
STRIPE = 14
"""Period of stripes in pixels of the canvas: 7 in a region, so that five cross a large object."""


def shape_mask(shape: str, fill: str, radius: float, turn: float, shift: tuple[float, float]) -> np.ndarray:
    """Coverage of a shape, uint8 [CANVAS, CANVAS], 0 or 255.

    fill: solid, outlined or striped. radius: pixels. turn: radians. shift: of the centre from the middle, pixels.
    """
    outline = _outline(shape) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    middle = CANVAS / 2 + np.array(shift)
    points = [(x, y) for x, y in (outline * radius + middle).tolist()]
    mask = Image.new("L", (CANVAS, CANVAS), 0)
    draw = ImageDraw.Draw(mask)
    if fill == "outlined":
        draw.polygon(points, fill=0, outline=255, width=OUTLINE)
    else:
        draw.polygon(points, fill=255)
    if shape == "ring":
        draw.polygon([(x, y) for x, y in (outline * radius * RING_HOLE + middle).tolist()], fill=0)
    covered = np.array(mask)
    if fill == "striped":
        rows, cols = np.mgrid[:CANVAS, :CANVAS]
        covered[(np.cos(turn) * rows + np.sin(turn) * cols) % STRIPE >= STRIPE / 2] = 0
    return covered


def word_mask(word: str, font: str, width: float, shift: tuple[float, float]) -> np.ndarray:
    """Coverage of a word about `width` pixels wide, uint8 [CANVAS, CANVAS]; shift as a share of the room left."""
    sized = _font(font, min(44, max(14, int(24 * width / _font(font, 24).getlength(word)))))
    left, top, right, bottom = sized.getbbox(word)
    room = (CANVAS - (right - left), CANVAS - (bottom - top))
    mask = Image.new("L", (CANVAS, CANVAS), 0)
    place = (room[0] * (0.5 + shift[0]) - left, room[1] * (0.5 + shift[1]) - top)
    ImageDraw.Draw(mask).text(place, word, fill=255, font=sized)
    return np.array(mask)


def _outline(shape: str) -> np.ndarray:
    """Corners of a shape about (0, 0) within a radius of 1, y downwards, float64 [corners, 2]."""
    if shape == "square":
        return 0.8 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    if shape == "diamond":
        return np.array([(0, -1), (0.7, 0), (0, 1), (-0.7, 0)])
    if shape == "triangle":
        return np.array([(0, -1), (0.95, 0.8), (-0.95, 0.8)])
    if shape == "star":
        return np.asarray(_around(10) * np.where(np.arange(10) % 2, 0.4, 1.0)[:, None])
    if shape == "cross":
        a, b = 0.3, 0.95
        return np.array(
            [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
        )
    if shape == "arrow":
        return np.array([(1, 0), (0.1, -0.85), (0.1, -0.3), (-1, -0.3), (-1, 0.3), (0.1, 0.3), (0.1, 0.85)])
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 17
        return np.stack([16 * np.sin(t) ** 3 / 17, y], axis=1)
    if shape == "moon":
        angles = np.linspace(0.25 * np.pi, 1.75 * np.pi, 30)
        far = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        near = np.stack([0.7 - 0.85 * np.cos((angles - np.pi) / 1.5), far[:, 1]], axis=1)
        return np.concatenate([far, near[::-1] * (1, 0.7)])
    return _around(40)


def _around(corners: int) -> np.ndarray:
    """Corners of a regular polygon, the first one at the top."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    if not name:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ConfigError("matplotlib, whose fonts generated scenes are written in, is not installed; pip install it")
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)

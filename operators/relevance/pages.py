"""Generates pages of text, pictures and controls, with the pixels that text covers: what the text detector learns from.

Words are made up and fonts are those that come with matplotlib and Pillow, so a page needs no data and no licence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

VOWELS = "aeiou"
CONSONANTS = "bcdfghjklmnprstvwyz"
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSans-Oblique", None)
"""Of matplotlib; None is Pillow's own."""
FONT_SIZES = (9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 30)
"""In pixels: what screens show, from labels to headings."""
BUSY = 45
"""Standard deviation of the grey levels beneath from which a line of text is mostly left out: nobody sets it there."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]


def page(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One page as luminance, uint8 [side, side], and whether each pixel is inside a line of text, bool [side, side]."""
    ground = _grey(rng, 20, 90) if rng.random() < 0.35 else _grey(rng, 180, 256)
    if rng.random() < 0.15:
        ground = _colour(rng)
    picture, truth = Image.new("RGB", (side, side), ground), Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 4))):
        x, y = _ints(rng, -40, side, 2)
        width, height = _ints(rng, 20, side, 2)
        if rng.random() < 0.55:
            picture.paste(TEXTURES[rng.integers(len(TEXTURES))](rng, width, height), (x, y))
        else:
            draw.rectangle((x, y, x + width, y + height), _grey(rng, 20, 256), _grey(rng, 0, 256))
    for _ in range(int(rng.integers(0, 14))):
        _icon(rng, draw)
    for _ in range(int(rng.integers(0, 4))):
        place = int(rng.integers(0, side))
        draw.line((0, place, side, place) if rng.random() < 0.5 else (place, 0, place, side), _grey(rng, 0, 256))
    for _ in range(int(rng.integers(0, 7))):
        _paragraph(rng, picture, ImageDraw.Draw(truth))
    if rng.random() < 0.25:
        picture, truth = _resized(picture, truth, float(rng.uniform(0.7, 1.3)), ground)
    return np.asarray(picture.convert("L")), np.asarray(truth) > 127


def _paragraph(rng: np.random.Generator, picture: Image.Image, truth: ImageDraw.ImageDraw) -> None:
    """One to eight lines of words in one font, each in a grey that stands out from what is beneath."""
    side = picture.width
    font, size = _font(FONTS[rng.integers(len(FONTS))], int(rng.choice(FONT_SIZES)))
    x, y = int(rng.integers(-20, side - 10)), int(rng.integers(-4, side - 8))
    lines = int(rng.choice([1, 1, 1, 2, 4, 8]))
    step = int(size * rng.uniform(1.15, 2.2))
    draw = ImageDraw.Draw(picture)
    for top in range(y, min(side, y + lines * step), step):
        text = " ".join(_word(rng) for _ in range(int(rng.integers(1, 5 if lines < 3 else 9))))
        box = draw.textbbox((x, top), text, font)
        inside = (max(0, int(box[0])), max(0, int(box[1])), min(side, int(box[2])), min(side, int(box[3])))
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            continue
        beneath = np.asarray(picture.crop(inside))
        if beneath.std() > BUSY and rng.random() < 0.7:
            continue
        shade, contrast = float(beneath.mean()), rng.uniform(45, 200)
        is_darker = shade > contrast and (shade > 127 or shade + contrast > 255)
        tint = rng.normal(0, 12, 3) if rng.random() < 0.3 else np.zeros(3)
        ink = np.clip(min(255.0, shade - contrast if is_darker else shade + contrast) + tint, 0, 255)
        draw.text((x, top), text, (int(ink[0]), int(ink[1]), int(ink[2])), font)
        truth.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), 255)


def _resized(picture: Image.Image, truth: Image.Image, scale: float, ground: Colour) -> tuple[Image.Image, Image.Image]:
    """Both resampled by one scale and cropped or filled to their size: screenshots are often scaled."""
    side = picture.width
    resampled = (round(side * scale),) * 2
    page_, mask = Image.new("RGB", picture.size, ground), Image.new("L", picture.size, 0)
    page_.paste(picture.resize(resampled, Image.Resampling.BICUBIC), (0, 0))
    mask.paste(truth.resize(resampled), (0, 0))
    return page_, mask


def _icon(rng: np.random.Generator, draw: ImageDraw.ImageDraw) -> None:
    """Up to four small shapes on each other."""
    x, y = _ints(rng, 0, int(draw.im.size[0]), 2)
    size = int(rng.integers(8, 34))
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.integers(4)
        (left, right), (top, bottom) = sorted(_ints(rng, 0, size, 2)), sorted(_ints(rng, 0, size, 2))
        box = (x + left, y + top, x + right + 1, y + bottom + 1)
        colour = _colour(rng)
        fill = colour if rng.random() < 0.6 else None
        if kind == 0:
            draw.rectangle(box, fill, _colour(rng))
        elif kind == 1:
            draw.ellipse(box, fill, _colour(rng))
        elif kind == 2:
            draw.line(box, colour, int(rng.integers(1, 4)))
        else:
            corners = [(x + dx, y + dy) for dx, dy in rng.integers(0, size, (int(rng.integers(3, 7)), 2)).tolist()]
            draw.polygon(corners, fill, _colour(rng))


def _noise(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Noise of one coarseness: foliage, sand, film grain."""
    shape = (max(1, height // int(rng.integers(1, 9))), max(1, width // int(rng.integers(1, 9))), 3)
    shades = rng.normal(rng.integers(40, 220), rng.integers(5, 60), shape)
    return Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def _stripes(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), _colour(rng))
    colour = _colour(rng)
    for x in range(-height, width, int(rng.integers(3, 14))):
        slant = height if rng.random() < 0.9 else 0
        ImageDraw.Draw(picture).line((x, 0, x + slant, height), colour, int(rng.integers(1, 3)))
    return picture


def _chequers(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    step = int(rng.integers(4, 12))
    colours = np.array([_colour(rng), _colour(rng)], np.uint8)
    across, down = np.arange(width) // step, np.arange(height) // step
    return Image.fromarray(colours[(down[:, None] + across[None]) % 2])


def _discs(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Discs, sharp or out of focus."""
    picture = Image.new("RGB", (width, height), _colour(rng))
    for _ in range(int(rng.integers(5, 60))):
        x, y, radius = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(2, 30))
        outline = _colour(rng) if rng.random() < 0.5 else None
        ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), _colour(rng), outline)
    return picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0, 0, 1, 3]))))


def _strokes(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), _colour(rng))
    for _ in range(int(rng.integers(5, 80))):
        ends = _ints(rng, 0, max(width, height), 4)
        ImageDraw.Draw(picture).line(ends, _colour(rng), int(rng.integers(1, 4)))
    return picture


def _gradient(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    across, down = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    shades = np.array(_colour(rng)) * (1 - across) + np.array(_colour(rng)) * across
    return Image.fromarray((shades * (1 - down * rng.random())).astype(np.uint8))


TEXTURES: tuple[Callable[[np.random.Generator, int, int], Image.Image], ...] = (
    _noise,
    _stripes,
    _chequers,
    _discs,
    _strokes,
    _gradient,
)
"""What pictures hold that is no text."""


def _word(rng: np.random.Generator) -> str:
    if rng.random() < 0.08:
        return "".join(str(digit) for digit in _ints(rng, 0, 10, int(rng.integers(1, 5))))
    word = ""
    for _ in range(int(rng.integers(1, 5))):
        word += CONSONANTS[rng.integers(len(CONSONANTS))] + VOWELS[rng.integers(len(VOWELS))]
        word += CONSONANTS[rng.integers(len(CONSONANTS))] if rng.random() < 0.3 else ""
    case = rng.random()
    return word.capitalize() if case < 0.3 else word.upper() if case < 0.36 else word


@cache
def _font(name: str | None, size: int) -> tuple[Font, int]:
    if name is None:
        return ImageFont.load_default(size), size
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size), size


def _ints(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    found: list[int] = rng.integers(low, high, count).tolist()
    return found


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = _ints(rng, 0, 256, 3)
    return red, green, blue


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    shade = int(rng.integers(low, high))
    return shade, shade, shade

"""One document of EntityGrid-QA: one or two entities at nine places of a blank picture, and one question on them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw

from operators.reduction.seams import Box
from operators.reduction.seeded import draw, draw_below
from pipeline.formats.fields import to_json

T = TypeVar("T")
SIDE = 672
"""Of the picture, in pixels: HiRes-LLaVA cuts it into 2 x 2 slices of 336."""
ENTITY_SIDE = 96
CENTRES = (112, 336, 560)
"""Of a row or a column of places: 336 is on a seam, the others are the middles of the outer thirds."""
POSITIONS = tuple(f"{row} {col}" for row in ("top", "middle", "bottom") for col in ("left", "centre", "right"))
"""Row-major. At the middle centre an entity is in four slices, in a corner in one, elsewhere in two."""
COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 180),
    "orange": (255, 127, 14),
    "purple": (148, 103, 189),
    "black": (0, 0, 0),
}
SHAPES = {
    "square": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "triangle": ((0.5, 0), (1, 1), (0, 1)),
    "diamond": ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    "circle": (),
}
"""Corners, as shares of the box; a circle has none."""
QUESTIONS = ("recognition", "position", "counting")


@dataclass(frozen=True, slots=True)
class Entity:
    """A shape of one colour. box: left, top, right, bottom in pixels, the last two outside."""

    colour: str
    shape: str
    position: str
    box: Box

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Document:
    """question: one of QUESTIONS, about the first entity or about all."""

    entities: tuple[Entity, ...]
    question: str


def make_document(seed: int, number: int) -> Document:
    """The document of that number: the same for the same seed, whatever was made before."""
    name = str(number)
    count = 1 + draw_below(2, seed, "entity count", name)
    positions = _some(POSITIONS, count, seed, "position", name)
    names = _some([(colour, shape) for colour in COLOURS for shape in SHAPES], count, seed, "entity", name)
    entities = tuple(
        Entity(colour, shape, position, box_at(position))
        for (colour, shape), position in zip(names, positions, strict=True)
    )
    return Document(entities, QUESTIONS[draw_below(len(QUESTIONS), seed, "question", name)])


def box_at(position: str) -> Box:
    """The box of an entity at one of POSITIONS."""
    row, col = divmod(POSITIONS.index(position), len(CENTRES))
    left, top = (CENTRES[place] - ENTITY_SIDE // 2 for place in (col, row))
    return left, top, left + ENTITY_SIDE, top + ENTITY_SIDE


def to_members(key: str, document: Document) -> list[tuple[str, bytes]]:
    """`KEY.json`, which the format `conversations` reads and which has the entities with their boxes, and `KEY.png`."""
    asked, answer = question_of(document)
    index = {
        "conversations": [{"from": "human", "value": f"<image>\n{asked}"}, {"from": "gpt", "value": answer}],
        "question": document.question,
        "entities": [
            {"name": entity.name, "position": entity.position, "box": list(entity.box)} for entity in document.entities
        ],
    }
    buffer = io.BytesIO()
    draw_picture(document).save(buffer, "PNG")
    return [(f"{key}.json", to_json(index)), (f"{key}.png", buffer.getvalue())]


def question_of(document: Document) -> tuple[str, str]:
    """What is asked, and the answer."""
    first = document.entities[0]
    if document.question == "recognition":
        article = "An" if first.colour[0] in "aeiou" else "A"
        return f"What is at the {first.position} of the picture?", f"{article} {first.name}."
    if document.question == "position":
        return f"Where is the {first.name}?", f"At the {first.position} of the picture."
    return "How many shapes are there in the picture?", ("One.", "Two.")[len(document.entities) - 1]


def draw_picture(document: Document) -> Image.Image:
    """The entities on white, without soft edges, so that their boxes are exact."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for entity in document.entities:
        left, top, right, bottom = entity.box
        corners = SHAPES[entity.shape]
        fill = COLOURS[entity.colour]
        if corners:
            last = ENTITY_SIDE - 1  # the pixel at the far edge, which a polygon includes
            pen.polygon([(left + round(x * last), top + round(y * last)) for x, y in corners], fill=fill)
        else:
            pen.ellipse((left, top, right - 1, bottom - 1), fill=fill)
    return picture


def _some(values: Sequence[T], count: int, seed: int, purpose: str, name: str) -> list[T]:
    """That many of the values, no two the same, in a drawn order."""
    return sorted(values, key=lambda value: draw(seed, f"{purpose} {value}", name))[:count]

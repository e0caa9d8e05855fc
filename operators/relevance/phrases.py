"""The objects of a scene, and texts that each fit exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("colour", "shape", "colour_shape", "size", "fill", "position", "word", "question")


@dataclass(frozen=True)
class Thing:
    """One object: a shape with size and fill, or (shape "word") a word, whose size and fill are empty."""

    cell: int
    shape: str
    colour: str
    size: str = ""
    fill: str = ""
    word: str = ""


@dataclass(frozen=True)
class Query:
    """A text of one of KINDS, and the cell of the one object that it fits."""

    text: str
    kind: str
    cell: int


def positions(cell: int, rows: int, cols: int) -> tuple[str, ...]:
    """Every position that is true of a cell: a row, a column, both, or the middle of both."""
    row, col = divmod(cell, cols)
    tall = {0: "at the top", rows - 1: "at the bottom"}.get(row)
    wide = {0: "on the left", cols - 1: "on the right"}.get(col)
    middle = (2 * row, 2 * col) == (rows - 1, cols - 1)
    both = f"{tall} {wide.split()[-1]}" if tall and wide else None
    return tuple(name for name in (tall, wide, both, "in the middle" if middle else None) if name)


def queries_of(things: Sequence[Thing], rows: int, cols: int, rng: np.random.Generator) -> tuple[Query, ...]:
    """All kinds of query on all objects, as far as no other object of the scene fits them."""
    places = [positions(thing.cell, rows, cols) for thing in things]
    found = []
    for thing, around in zip(things, places, strict=True):
        for kind, text, traits, place in _phrases(thing, around, rng):
            fits = [
                all(getattr(other, trait) == getattr(thing, trait) for trait in traits)
                and (not place or place in others)
                for other, others in zip(things, places, strict=True)
            ]
            if sum(fits) == 1:
                found.append(Query(text, kind, thing.cell))
    return tuple(found)


def _phrases(
    thing: Thing, places: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """(kind, text, traits that it names, position that it names) of one object."""
    colour, shape = thing.colour, thing.shape
    article = _one(rng, ("a", "the"))
    yield "colour", f"{article} {colour} {_one(rng, ('object', 'thing'))}", ("colour",), ""
    yield "colour_shape", f"{article} {colour} {shape}", ("colour", "shape"), ""
    yield "question", f"which object is {colour}?", ("colour",), ""
    asks = _one(rng, ("where is the", "is there a"))
    yield "question", f"{asks} {colour} {shape}?", ("colour", "shape"), ""
    if places:
        place = _one(rng, places)
        yield "position", f"the {_one(rng, ('object', 'thing'))} {place}", (), place
        yield "position", f"the {shape} {place}", ("shape",), place
        yield "position", f"the {colour} {shape} {place}", ("colour", "shape"), place
        yield "question", f"what is {place}?", (), place
        yield "question", f"what colour is the {shape} {place}?", ("shape",), place
    if thing.word:
        texts = (f"the word {thing.word}", f'the text "{thing.word}"', f"{article} {colour} word {thing.word}")
        yield "word", _one(rng, texts), ("word",), ""
        yield "question", f"where does it say {thing.word}?", ("word",), ""
        yield "question", f"what does the {colour} word say?", ("colour", "shape"), ""
        return
    yield "shape", f"{article} {shape}", ("shape",), ""
    yield "size", f"{article} {thing.size} {shape}", ("size", "shape"), ""
    yield "size", f"{article} {thing.size} {colour} {shape}", ("size", "colour", "shape"), ""
    yield "fill", f"{article} {thing.fill} {shape}", ("fill", "shape"), ""
    yield "fill", f"{article} {colour} {thing.fill} {shape}", ("fill", "colour", "shape"), ""
    yield "question", f"what colour is the {shape}?", ("shape",), ""
    yield "question", f"what colour is the {thing.size} {shape}?", ("size", "shape"), ""


def _one(rng: np.random.Generator, texts: Sequence[str]) -> str:
    return texts[int(rng.integers(len(texts)))]

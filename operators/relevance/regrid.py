"""Lays another grid of regions over a scene, whose borders cut through its objects as they do in real pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from operators.relevance import REGION
from operators.relevance.crop import crop, grid
from operators.relevance.scenes import Scene

CUT = 0.12
"""Most that is cut off each side of the picture, as a share of it: a third of a cell of three."""
SEEN = 0.6
"""Least share of an object that must lie in the picture for its texts to be asked."""
HOLDS = 0.1
"""Least share of an object that a region must hold to count as holding any of it."""


def regrid(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regions, places and shares of the scene under a drawn grid.

    regions: uint8 [n, REGION, REGION, 3], those that hold part of an object and one that holds none, if any does.
    places: float32 [n, 4], in the picture that remains. shares: float32 [objects, n], of each object's box in each
    region; zeros for an object that the cut left under SEEN of.
    """
    cut = rng.uniform(0, CUT, 4) * (1, 1, -1, -1) * (rng.random() < 0.5)
    window = np.array([0.0, 0.0, 1.0, 1.0]) + cut
    rows, cols = (_sides(rng, count) for count in (scene.rows, scene.cols))
    places = grid(rows, cols)
    extent = np.tile(window[2:] - window[:2], 2)
    boxes = (scene.boxes - np.tile(window[:2], 2)) / extent
    shares = shares_of(boxes, places)
    shares[shares < HOLDS] = 0
    shares[shares.sum(axis=1) < SEEN] = 0
    chosen = np.flatnonzero(shares.any(axis=0))
    empty = np.flatnonzero(~shares.any(axis=0))
    if len(empty):
        chosen = np.append(chosen, rng.choice(empty))
    within = places[chosen] * extent + np.tile(window[:2], 2)
    return crop(Image.fromarray(scene.picture), within, REGION), places[chosen], shares[:, chosen]


def shares_of(boxes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The share of each box's area that each region holds, float32 [boxes, places]; both (n, 4) in one frame."""
    start = np.maximum(boxes[:, None, :2], places[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = (end - start).clip(0).prod(axis=2)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    found: np.ndarray = (shared / whole[:, None]).astype(np.float32)
    return found


def _sides(rng: np.random.Generator, count: int) -> int:
    """Regions along a side of `count` cells: one less to two more, or twice as many."""
    sides = (max(2, count - 1), count, count + 1, count + 2, 2 * count)
    return sides[int(rng.integers(len(sides)))]

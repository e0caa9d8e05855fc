"""Makes the relevance maps of each image and fixes the token budget of each view.

A score depends on its picture alone: tiles go through the maps in padded batches of one fixed shape, and values are
8-bit integers before anything is decided on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from operators.budget import BudgetConfig, allocate
from operators.plans import plan_from_row
from operators.relevance import TILE
from operators.relevance.perspectival import perspectival
from operators.relevance.propositional import propositional
from operators.slicing.qwen import QwenConfig, with_budgets
from operators.weights import SCORE_VERSION, ScoreConfig
from pipeline.errors import ConfigError
from pipeline.operator import Row, map_rows
from pipeline.schema import MEASURED

BATCH_TILES = 64
"""Tiles per forward pass, always: the last pass is padded, so every tile meets one shape."""

Values = tuple[int, int, int]
"""Propositional, perspectival and combined relevance of one view, 0..255."""


class Score:
    """Adds `relevances` and, given a budget, re-renders `plans` and `runs` within it."""

    name = "score"
    version = SCORE_VERSION

    def __init__(
        self, config: ScoreConfig, budget: BudgetConfig | None, slicing: QwenConfig | None, device: str
    ) -> None:
        self._weights = config.steps()
        self._budget = budget
        self._slicing = slicing
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("resources.score.gpus asks for a GPU and torch finds none here; set it to 0")
        self._device = torch.device(device)

    def __call__(self, table: pa.Table) -> pa.Table:
        maps = iter(self._score(list(_tiles(table))))
        return map_rows(table, MEASURED, self.name, lambda row: self._weigh(row, maps))

    def _score(self, tiles: Sequence[np.ndarray]) -> list[Values]:
        """(propositional, perspectival, combined) of each tile."""
        found: list[Values] = []
        batch = np.zeros((BATCH_TILES, TILE, TILE), np.uint8)
        for start in range(0, len(tiles), BATCH_TILES):
            chunk = tiles[start : start + BATCH_TILES]
            batch[: len(chunk)] = chunk
            batch[len(chunk) :] = 0
            with torch.inference_mode():
                on_device = torch.from_numpy(batch).to(self._device)
                maps = [ways(on_device).cpu().tolist()[: len(chunk)] for ways in (propositional, perspectival)]
            found += [(p, s, self._combine(p, s)) for p, s in zip(*maps, strict=True)]
        return found

    def _combine(self, *values: int) -> int:
        total = sum(self._weights)
        weighted = sum(w * v for w, v in zip(self._weights, values, strict=True))
        return (2 * weighted + total) // (2 * total)

    def _weigh(self, row: Row, maps: Iterator[Values]) -> Row:
        weighed = [
            self._weigh_image(plan, runs, [next(maps) for _ in plan["views"]])
            for plan, runs in zip(row["plans"], row["runs"], strict=True)
        ]
        return {name: [image[name] for image in weighed] for name in ("plans", "runs", "relevances")}

    def _weigh_image(self, plan: Row, runs: list[Row], values: list[Values]) -> Row:
        """The plan with relevance in its views and, given a budget, with its regions rendered within it."""
        propositions, salience, combined = (list(column) for column in zip(*values, strict=True))
        views = [view | {"relevance": value} for view, value in zip(plan["views"], combined, strict=True)]
        if self._budget is not None and self._slicing is not None:
            budgets = allocate(combined, [view["tokens"] for view in views], self._budget)
            slicing = self._slicing
            thinned = with_budgets(plan_from_row(plan), budgets, combined, slicing.patch, slicing.merge)
            views = [asdict(view) for view in thinned.views]
            runs = [run | {"count": views[run["view"]]["tokens"]} if run["view"] >= 0 else run for run in runs]
        rows = 1 + max(view["row"] for view in views) if self._budget else 1
        relevance = {
            "rows": rows,
            "cols": len(views) // rows,
            "propositional": propositions,
            "perspectival": salience,
            "combined": combined,
        }
        return {"plans": plan | {"views": views}, "runs": runs, "relevances": relevance}


def _tiles(table: pa.Table) -> Iterator[np.ndarray]:
    """One luminance tile per view of every image of every sound row, in order."""
    rows = table.select(["rejection", "withheld", "plans", "smalls"]).to_pylist()
    for row in rows:
        if row["rejection"] is not None or row["withheld"]:
            continue
        for plan, small in zip(row["plans"], row["smalls"], strict=True):
            picture = Image.frombuffer("L", (small["width"], small["height"]), small["data"], "raw", "L", 0, 1)
            for view in plan["views"]:
                yield _tile(picture, view["box"], plan["width"], plan["height"])


def _tile(picture: Image.Image, box: Sequence[int], width: int, height: int) -> np.ndarray:
    """The part of the small picture under a box of the full one, resampled to TILE x TILE; zeros if it is empty."""
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return np.zeros((TILE, TILE), np.uint8)
    across, down = picture.width / width, picture.height / height
    part = (left * across, top * down, right * across, bottom * down)
    return np.asarray(picture.resize((TILE, TILE), Image.Resampling.BILINEAR, box=part))

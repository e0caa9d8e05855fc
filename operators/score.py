"""Makes the relevance maps of each image and fixes the token budget of each region.

A score depends on its picture, and on what is asked of it, alone: sums are of integers, an encoder sees padded batches
of one fixed shape, and values are 8-bit integers before anything is decided on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from operators.apportion import Apportion
from operators.budget import BudgetConfig
from operators.devices import found_device
from operators.discrete.config import SCHEME
from operators.relevance import REGION, TILE
from operators.relevance.crop import crop
from operators.relevance.legibility import legibility
from operators.relevance.native import on_grid
from operators.relevance.participatory import open_encoder, stretched
from operators.relevance.perspectival import perspectival
from operators.relevance.propositional import channel_entropy, propositional
from operators.relevance.query import is_seeking
from operators.relevance.text import text_map
from operators.retile import Retile
from operators.slicing.qwen import QwenConfig
from operators.threads import one_thread
from operators.weights import SCORE_VERSION, ScoreConfig
from pipeline.errors import InputError, Reason
from pipeline.operator import Row, map_rows
from pipeline.schema import MEASURED, SCORED, SMALLS
from pipeline.types import SegmentKind

BATCH_REGIONS = 32
"""Regions per pass of the maps: an array of 16-bit shades is 600 kB then and stays in a core's cache; with 64, edges
take seven times as long. Values are integers, so the last pass may be of fewer."""
GROUP_REGIONS = 512
"""Regions that are cut out before they are looked at: their pixels take some tens of megabytes."""


@dataclass(slots=True)
class _Look:
    """One image as the maps see it."""

    plan: Row
    query: Row
    tiles: np.ndarray
    """Luminance of each region, uint8 [n, TILE, TILE]."""
    colour: Image.Image
    places: np.ndarray
    """Left, top, right and bottom of each region as shares of the image, float32 [n, 4]."""
    text: np.ndarray
    """Mean of the text map in each region, uint8 [n]."""
    legibility: bytes | None


class Score:
    """Adds `relevances` and, given a budget, re-renders `plans` and `runs` within it."""

    name = "score"
    version = SCORE_VERSION

    def __init__(
        self,
        config: ScoreConfig,
        budget: BudgetConfig | None,
        slicing: QwenConfig | None,
        device: str,
        retile: Retile | None = None,
        *,
        keeps_looks: bool = False,
    ) -> None:
        """slicing: of the family, where it has native resolution; retile: where it cuts tiles and there is a budget.

        keeps_looks: whether `reduce` behind it wants the small pictures and the queries.
        """
        self._schema = SCORED if keeps_looks else MEASURED
        self._config = config
        self._slicing = slicing if budget is not None else None
        self._is_legible = budget is not None and budget.spread == "legible"
        self._device = torch.device(found_device(device, self.name))
        self._encoder = open_encoder(config.encoder, device) if config.steps()[2] else None
        self._apportion = Apportion(config, budget, slicing, retile)

    def __call__(self, table: pa.Table) -> pa.Table:
        found = self._relevances(table)
        with one_thread():
            return map_rows(table, self._schema, self.name, lambda row: self._budgeted(row, found), (SMALLS.name,))

    def _budgeted(self, row: Row, found: Iterator[Row]) -> Row:
        images = [i for i, segment in enumerate(row["segments"]) if segment["kind"] == SegmentKind.IMAGE]
        images = [i for i, plan in zip(images, row["plans"], strict=True) if plan["scheme"] != SCHEME]
        maps = list(islice(found, len(images)))
        for i, image in zip(images, maps, strict=True):
            if not image.pop("is_finite"):
                segment = row["segments"][i]
                place = {name: segment[name] for name in ("member", "offset", "size")}
                detail = "the encoder gives a region of this picture a value that is no number"
                raise InputError(Reason.SCORE_NAN, detail, **place, segment=i)
        return self._apportion(row["plans"], row["runs"], maps)

    def _relevances(self, table: pa.Table) -> Iterator[Row]:
        """The maps of each image of every sound row that has views, in order."""
        group: list[_Look] = []
        held = 0
        for image in self._images(table):
            group.append(image)
            held += len(image.tiles)
            if held >= GROUP_REGIONS:
                yield from self._maps(group)
                group, held = [], 0
        yield from self._maps(group)

    def _images(self, table: pa.Table) -> Iterator[_Look]:
        names = ["rejection", "withheld", "shard_end", "plans", "smalls", "queries"]
        for row in table.select(names).to_pylist():
            if row["rejection"] is None and not row["withheld"] and row["shard_end"] is None:
                for plan, small, query in zip(row["plans"], row["smalls"], row["queries"], strict=True):
                    if plan["scheme"] != SCHEME:
                        yield self._look(plan, small, query)

    def _look(self, plan: Row, small: Row, query: Row) -> _Look:
        grey = Image.frombuffer("L", (small["width"], small["height"]), small["grey"], "raw", "L", 0, 1)
        shape = (small["colour_width"], small["colour_height"])
        colour = Image.frombuffer("RGB", shape, small["colour"], "raw", "RGB", 0, 1)
        boxes = [view["box"] for view in plan["views"]]
        places = np.array(boxes, np.float32) / np.array([plan["width"], plan["height"]] * 2, np.float32)
        tiles = np.stack([_tile(grey, box, plan["width"], plan["height"]) for box in boxes])
        text, codes = np.zeros(len(boxes), np.uint8), None
        if self._is_legible and self._slicing is not None:
            size, grid = (plan["width"], plan["height"]), (plan["grid_h"], plan["grid_w"])
            on_cells, cell, reduction = on_grid(grey, size, grid, self._slicing.factor)
            page = torch.tensor(on_cells).to(self._device)
            found = text_map(page)
            codes = legibility(page, found, cell, reduction).cpu().numpy().tobytes()
            text = _means(found.cpu().numpy(), places)
        return _Look(plan, query, tiles, colour, places, text, codes)

    def _maps(self, images: Sequence[_Look]) -> Iterator[Row]:
        if not images:
            return
        owners = np.repeat(np.arange(len(images)), [len(image.tiles) for image in images])
        colours = np.concatenate([crop(image.colour, image.places, REGION) for image in images])
        tiles = np.concatenate([image.tiles for image in images])
        text = np.concatenate([image.text for image in images])
        entropy, salience = self._batched(tiles, colours, text)
        fits = self._cosines(images, owners)
        for number, image in enumerate(images):
            own = owners == number
            held = entropy[own] if self._config.entropy == "luminance" else channel_entropy(colours[own], image.places)
            asked = None if fits is None or not image.query["text"] else fits[own]
            is_finite = asked is None or bool(np.isfinite(asked).all())
            fit = stretched(asked, self._sharpness) if asked is not None and is_finite else None
            rows = 1 + max(view["row"] for view in image.plan["views"]) if self._slicing is not None else 1
            yield {
                "rows": rows,
                "cols": len(image.tiles) // rows,
                "propositional": held.tolist(),
                "perspectival": salience[own].tolist(),
                "participatory": None if fit is None else fit.tolist(),
                "query": {
                    "origin": image.query["origin"],
                    "segments": image.query["segments"],
                    "is_seeking": is_seeking(image.query["text"]),
                },
                "legibility": image.legibility,
                "is_finite": is_finite,
            }

    @property
    def _sharpness(self) -> float:
        return self._encoder.sharpness if self._encoder is not None else 1.0

    def _cosines(self, images: Sequence[_Look], owners: np.ndarray) -> np.ndarray | None:
        """Of each region with what its image is asked."""
        if self._encoder is None:
            return None
        regions = np.concatenate([crop(image.colour, image.places, self._encoder.side) for image in images])
        places = np.concatenate([image.places for image in images])
        return self._encoder.cosines(regions, places, [image.query["text"] for image in images], owners)

    def _batched(self, tiles: np.ndarray, colours: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Propositional and perspectival relevance of each region, uint8 [n]."""
        found: list[np.ndarray] = []
        for start in range(0, len(tiles), BATCH_REGIONS):
            chunk = slice(start, start + BATCH_REGIONS)
            with torch.inference_mode():
                a, b, c = (torch.from_numpy(rows[chunk]).to(self._device) for rows in (tiles, colours, text))
                found.append(torch.stack([propositional(a), perspectival(a, b, c)]).cpu().numpy())
        held, salient = np.concatenate(found, axis=1)
        return held, salient


def _means(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mean of a map [h, w] in each place, rounded down; uint8 [n]."""
    height, width = values.shape
    found = []
    for left, top, right, bottom in (places * np.array([width, height] * 2)).round().astype(int).tolist():
        part = values[top : max(top + 1, bottom), left : max(left + 1, right)]
        found.append(int(part.sum(dtype=np.int64)) // max(1, part.size))
    return np.array(found, np.uint8)


def _tile(picture: Image.Image, box: Sequence[int], width: int, height: int) -> np.ndarray:
    """The part of the small picture under a box of the full one, resampled to TILE x TILE; zeros if it is empty."""
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return np.zeros((TILE, TILE), np.uint8)
    across, down = picture.width / width, picture.height / height
    part = (left * across, top * down, right * across, bottom * down)
    return np.asarray(picture.resize((TILE, TILE), Image.Resampling.BILINEAR, box=part))

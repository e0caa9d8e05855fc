"""Writes EntityGrid-QA shards, and counts how many entities the seams between slices cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jobs.entity_grid.making import POSITIONS, SIDE, box_at, make_document, to_members
from jobs.export.target import open_target
from jobs.gather.shards import Members, write_shards
from operators.reduction.seams import Box, least_cutting_grid, seam_crossings, slices_of
from operators.slicing.grids import closest_grid
from operators.slicing.hires_llava import HiresLlavaConfig

NAME = "entity-grid"


@dataclass(slots=True)
class Made:
    """crossing: entities that seams cut with the grid of `columns` x `rows`; least_crossing: with the best grid of as
    many slices for each picture. slices: by position, in how many slices an entity there stands.
    """

    documents: int = 0
    entities: int = 0
    shards: int = 0
    bytes: int = 0
    columns: int = 0
    rows: int = 0
    crossing: int = 0
    crossing_rate: float = 0.0
    least_crossing: int = 0
    least_crossing_rate: float = 0.0
    slices: dict[str, int] = field(default_factory=dict)


def make_entity_grid(
    output: str, *, documents: int, seed: int, shard_bytes: int, notice: Callable[[str], None]
) -> Made:
    """Writes entity-grid-000000.tar … into a new or empty folder or URL: the same bytes for the same seed.

    ConfigError if the target holds something; StorageError if it cannot be written.
    """
    config = HiresLlavaConfig()
    grid = closest_grid(SIDE, SIDE, config.tile, 1, config.max_slices)
    made = Made(columns=grid[0], rows=grid[1])
    made.slices = {position: slices_of(box_at(position), SIDE, SIDE, grid) for position in POSITIONS}

    def count(boxes: list[Box]) -> None:
        best = least_cutting_grid(boxes, SIDE, SIDE, config.tile, 1, config.max_slices)
        made.documents += 1
        made.entities += len(boxes)
        made.crossing += seam_crossings(boxes, SIDE, SIDE, grid)
        made.least_crossing += seam_crossings(boxes, SIDE, SIDE, best)

    def samples() -> Iterator[Members]:
        for number in range(documents):
            document = make_document(seed, number)
            count([entity.box for entity in document.entities])
            yield to_members(f"{number:09d}", document)

    with open_target(output) as target:
        for name, size in write_shards(target, NAME, samples(), shard_bytes):
            made.shards += 1
            made.bytes += size
            notice(f"wrote {name}")
    made.crossing_rate = made.crossing / made.entities
    made.least_crossing_rate = made.least_crossing / made.entities
    return made

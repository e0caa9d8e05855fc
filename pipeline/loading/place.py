"""Where a pass stands, and which rank of how many this process is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a pass: of its epoch, of the order for `group` ranks, `row` rows from its start."""

    epoch: int
    group: int
    row: int

    def at(self, row: int) -> Place:
        return replace(self, row=row)


def find_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks; absent: of torch.distributed, or 0 and 1. ConfigError if they do not go together."""
    if (rank is None) != (world_size is None):
        raise ConfigError("rank or world_size alone; both are expected, or neither")
    if rank is None or world_size is None:
        group = torch.distributed
        return (group.get_rank(), group.get_world_size()) if group.is_available() and group.is_initialized() else (0, 1)
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size}; 0 to {world_size - 1} expected")
    return rank, world_size

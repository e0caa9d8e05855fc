"""The data set that a trainer iterates: packs in order, split by rank and worker, resumed at any row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.errors import ConfigError
from pipeline.loading.inputs import Family
from pipeline.loading.packs import open_packs
from pipeline.operator import Row

COLUMNS = ("pack_id", "input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens")


class PackedDataset(IterableDataset[dict[str, Any]]):
    """Packs of a finished output, local or remote, as a model of transformers takes them; documents stay apart.

    Each row is one pack: a batch of size 1. Use it alone, or in `DataLoader(dataset, batch_size=None)`:

        loss = model(**row["model"]).loss

    `model`: every keyword of the model's forward, and nothing else.
        input_ids, labels   int64 [1, L]; labels as in the pack: not shifted, -100 where nothing is trained
        position_ids        int64 [1, L]; [4, 1, L] for Qwen-VL, text row first
        use_cache           False
        pixel_values        float32, normalised, of all views in token order. Qwen-VL: flat patches [n, 6 * patch**2],
                            with image_grid_thw int64 [views, 3]. LLaVA-NeXT: [views, 3, height, width], the tiles of
                            all images in one stack, which needs no padding, with image_sizes int64 [images, 2] as
                            (height, width). InternVL: [tiles, 3, height, width]. None of these in a pack without
                            pictures, or built with `pixels: none`
    `cu_seqlens`    int32 [documents + 1], `max_seqlen` int: for variable-length attention of one's own. They must not
                    be given to forward: Qwen-VL's vision tower would take `cu_seqlens` for its own
    `loss_weights`  float32 [1, L], where the packs have them
    `pack_id`       str
    `row`           int, the pack's number in the data set

    Isolation: there is no `attention_mask`, and nothing is cached, because only then transformers looks at where
    positions restart and masks documents from each other. An all-ones mask, a cache, or three rows of M-RoPE let
    them see each other without a word.
    Source: find_packed_sequence_indices and its callers in transformers' masking_utils.py.

    At step s, rank r of w gets row s * w + r, whatever the number of workers; the last len(packs) % w rows are left
    out, so that all ranks have as many. Not shuffled.
    """

    def __init__(
        self, output: str, *, rank: int | None = None, world_size: int | None = None, version: int | None = None
    ) -> None:
        """output: path or URL of a job's output; version: of the data set, absent: the newest.

        rank, world_size: absent: of torch.distributed if it is initialised, otherwise 0 and 1. ConfigError if there
        is no such version, if the packs fit no model of transformers, or if there are fewer packs than ranks.
        """
        super().__init__()
        self._packs = open_packs(output, version)
        self._family = Family.from_recipe(self._packs.recipe)
        self._rank, self._world_size = _place(rank, world_size)
        if len(self._packs) < self._world_size:
            raise ConfigError(
                f"{output} has {len(self._packs)} packs for {self._world_size} ranks; at least as many expected; "
                "use fewer ranks or a shorter sequence_length"
            )
        self._columns = COLUMNS if self._family.pixels == "none" else (*COLUMNS, "views")
        self._start = 0
        self._row = 0

    def __len__(self) -> int:
        """Rows that each rank gets in one pass from the start."""
        return len(self._packs) // self._world_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """One pass, from the row that was loaded if one was; the next pass is whole again."""
        start, self._start = self._start, 0
        worker = get_worker_info()
        number, num_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        stride = self._world_size * num_workers
        end = start + (len(self._packs) - start) // self._world_size * self._world_size
        wanted = range(start + number * self._world_size + self._rank, end, stride)
        for taken, (row, pack) in enumerate(self._packs.read(wanted, self._columns), 1):
            self._row = start + taken * stride
            yield self._example(row, pack)
        self._row = 0

    def state_dict(self) -> dict[str, int]:
        """Where the pass stands: rows that all ranks together have taken, and of which version.

        In a DataLoader's worker it is the worker's own state, as torchdata's StatefulDataLoader keeps it. A trainer
        that counts for itself may write {"version": …, "row": steps * world_size} instead, and resume from it with
        any number of ranks and workers.
        """
        return {"version": self._packs.number, "row": self._row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass goes on where `state` was taken. ConfigError if that was in another version of the data.

        In a DataLoader with workers, which are copies, every pass starts there until another state is loaded.
        """
        if state["version"] != self._packs.number:
            raise ConfigError(
                f"the state is of version {state['version']} of {self._packs.url}; this is version "
                f"{self._packs.number}; open it with version={state['version']}"
            )
        if not 0 <= state["row"] <= len(self._packs):
            raise ConfigError(f"row {state['row']} of {len(self._packs)}; a state of this data set is expected")
        self._start = self._row = state["row"]

    def _example(self, number: int, pack: Row) -> dict[str, Any]:
        cu_seqlens = _array(pack["cu_seqlens"])
        position_ids = np.stack([_array(row) for row in pack["position_ids"]])
        model: dict[str, Any] = {name: _array(pack[name])[np.newaxis] for name in ("input_ids", "labels")}
        model = {name: torch.from_numpy(values.astype(np.int64)) for name, values in model.items()}
        model |= {"position_ids": self._family.positions(position_ids, cu_seqlens), "use_cache": False}
        if "views" in pack:
            model |= self._family.vision(pack["views"].as_py())
        example = {
            "model": model,
            "cu_seqlens": torch.from_numpy(cu_seqlens.copy()),
            "max_seqlen": int(np.diff(cu_seqlens).max()),
            "pack_id": pack["pack_id"].as_py(),
            "row": number,
        }
        if "loss_weights" in pack:
            example["loss_weights"] = torch.from_numpy(_array(pack["loss_weights"])[np.newaxis].copy())
        return example


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks. ConfigError if they do not go together."""
    if (rank is None) != (world_size is None):
        raise ConfigError("rank or world_size alone; both are expected, or neither")
    if rank is None or world_size is None:
        group = torch.distributed
        return (group.get_rank(), group.get_world_size()) if group.is_available() and group.is_initialized() else (0, 1)
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size}; 0 to {world_size - 1} expected")
    return rank, world_size


def _array(values: Any) -> np.ndarray:
    """The numbers of a list scalar."""
    found: np.ndarray = values.values.to_numpy()
    return found

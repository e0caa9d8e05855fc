"""The data set that a trainer iterates: packs in a fixed or shuffled order, split by rank and worker, resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.errors import ConfigError
from pipeline.loading.ahead import ahead
from pipeline.loading.example import COLUMNS, VIEWS, make_example
from pipeline.loading.indices import COLUMNS as INDEXED
from pipeline.loading.inputs import Family
from pipeline.loading.mixing import checked_weights, mixed, shares_of
from pipeline.loading.order import Rows, shuffled
from pipeline.loading.packs import open_packs
from pipeline.loading.place import Place, find_rank

ROWS_AHEAD = 8


class PackedDataset(IterableDataset[dict[str, Any]]):
    """Packs of a finished output, local or remote, as a model of transformers takes them; documents stay apart.

    Each row is one pack: a batch of size 1. Use it alone, or in `DataLoader(dataset, batch_size=None)`:

        for epoch in range(epochs):
            dataset.set_epoch(epoch)
            for row in dataset:
                loss = model(**row["model"]).loss

    What a row holds: `make_example` in pipeline/loading/example.py. More than one pack a batch: `collate`.

    Split: at step s, rank r of w gets the row s * w + r of the pass, whatever the number of workers, and every rank
    as many rows. `drop_last`: the last rows of the pass, n % w of its n, are left out (shuffled, others each epoch).
    Without it the last step is filled up with the first rows of the pass again, whose `repeated` is True.

    Order: that of units and files, or shuffled by data file, a function of seed, epoch and world size (order.py). It
    keeps the rows of a step neighbours in a file, where they are of equal vision load. Of several sources each is
    shuffled so, and any stretch of a pass holds them in proportion (mixing.py); a step is of one source, but for what
    sources leave over. `weights` says how often a pass goes over a source: 2.5 is twice over all of its packs, and
    over half of them, others each epoch, once more; 0 leaves it out; a source that is not named is gone over once.

    Memory: `buffer` row groups of 8 packs if shuffled, else one, both for each source, and ROWS_AHEAD rows, which a
    thread reads ahead; in each worker. A row group is read by each rank and worker that needs a row of it: at most 8
    times each time that a pass goes over it.

    Workers may be started by fork, forkserver or spawn, on S3 too.

    State: `state_dict` after any row, `load_state_dict` before the pass that goes on there. It is exact with as many
    ranks and workers. A state of one process (not of one of several workers) also goes on with other numbers of
    ranks and workers, without loss or overlap, even in the middle of an epoch: the pass keeps the order of the ranks
    that began it, and the next one has its own. What another number of ranks leaves over at the end may differ.
    """

    def __init__(
        self,
        output: str,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        version: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        buffer: int = 4,
        drop_last: bool = True,
        weights: Mapping[str, float] | None = None,
        indices: bool = False,
    ) -> None:
        """output: path or URL of a job's output; version: of the data set, absent: the newest.

        rank, world_size: absent: of torch.distributed if it is initialised, otherwise 0 and 1. buffer: row groups
        among which rows are mixed; more mix better and take more memory. weights: by source, as the job names them.
        indices: rows also say which images each token may see (indices.py).
        ConfigError if there is no such version, if the packs fit no model of transformers, for weights without
        `shuffle` or of no source, or, with `drop_last`, if a pass has fewer packs than ranks.
        """
        super().__init__()
        if buffer < 1 or seed < 0:
            raise ConfigError(f"buffer {buffer}, seed {seed}; a buffer from 1, a seed from 0 expected")
        self._packs = open_packs(output, version)
        self._family = Family.from_recipe(self._packs.recipe)
        self._rank, self._world_size = find_rank(rank, world_size)
        self._weights = checked_weights(weights, self._packs, shuffle=shuffle)
        self._shares = shares_of(self._packs, self._weights or {})
        self._length = sum(share.num_rows for share in self._shares)
        if self._length < (self._world_size if drop_last else 1):
            raise ConfigError(
                f"{output} has {self._length} packs for {self._world_size} ranks in a pass; at least as many expected; "
                "use fewer ranks, larger weights or a shorter sequence_length"
            )
        columns = COLUMNS if self._family.pixels == "none" else (*COLUMNS, VIEWS)
        self._columns = tuple(dict.fromkeys((*columns, *INDEXED))) if indices else columns
        self._indices = indices
        self._shuffle, self._buffer, self._drop_last = shuffle, buffer, drop_last
        self._kind = {
            "version": self._packs.number,
            "shuffle": shuffle,
            "seed": seed,
            "buffer": buffer,
            "weights": self._weights,
        }
        self._seed = seed
        # Shared, because workers that persist are copies that no other message reaches.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._resume: Place | None = None
        self._at = self._start_of(0)

    def __len__(self) -> int:
        """Rows that each rank gets in one pass from the start."""
        return self._num_rows(0) // self._world_size

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of `epoch`; call it before each, as nothing counts passes but the trainer.

        A place that was loaded in the same epoch is kept; one of another is left.
        """
        self._epoch[0] = epoch
        if self._resume is not None and self._resume.epoch != epoch:
            self._resume = None
        if self._at.epoch != epoch:
            self._at = self._start_of(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """One pass, from the row that was loaded if one was; the next pass is whole again."""
        place = self._resume or self._start_of(int(self._epoch))
        self._resume, self._at = None, place
        worker = get_worker_info()
        number, num_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        stride = self._world_size * num_workers
        order = self._order(place)
        end = self._num_rows(place.row)
        wanted = np.arange(place.row + number * self._world_size + self._rank, end, stride)
        packs = self._packs.read(
            order[wanted % len(order)].tolist(), self._columns, self._buffer if self._shuffle else 1
        )
        for taken, (row, pack) in enumerate(ahead(packs, ROWS_AHEAD), 1):
            self._at = place.at(min(place.row + taken * stride, end))
            repeated = bool(wanted[taken - 1] >= len(order))
            yield make_example(pack, self._family, indices=self._indices) | {"row": row, "repeated": repeated}
        self._at = self._start_of(place.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass stands, as JSON: rows that all ranks together have taken, of which order of which epoch.

        After a whole pass it is the start of the next epoch. In a DataLoader's worker it is the worker's own, as
        torchdata's StatefulDataLoader keeps it. A trainer with workers that counts for itself resumes with any number
        of ranks and workers from `dataset.state_dict() | {"row": steps * world_size}`.
        """
        return self._kind | {"epoch": self._at.epoch, "group": self._at.group, "row": self._at.row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on where `state` was taken. ConfigError if that was of other data or in another order.

        In a DataLoader with workers, which are copies, every pass starts there until set_epoch names another epoch.
        """
        for name, mine in self._kind.items():
            if state[name] != mine:
                raise ConfigError(
                    f"the state is of {name} {state[name]}, and {self._packs.url} was opened with {name} {mine}; "
                    f"open it with {name}={state[name]}"
                )
        if not 0 <= state["row"] <= self._length + state["group"]:
            raise ConfigError(f"row {state['row']} of {self._length}; a state of this data set is expected")
        self._resume = self._at = Place(state["epoch"], state["group"], state["row"])
        if get_worker_info() is None:  # of several workers one may have ended its pass, and be an epoch ahead
            self._epoch[0] = state["epoch"]

    def _start_of(self, epoch: int) -> Place:
        return Place(epoch, self._world_size, 0)

    def _order(self, place: Place) -> Rows:
        if not self._shuffle:
            return np.arange(self._length)
        if self._weights is None and len(self._shares) == 1:
            blocks = [file.rows for file in self._packs.files]
            return shuffled(blocks, group=place.group, buffer=self._buffer, seed=self._seed, epoch=place.epoch)
        return mixed(self._shares, group=place.group, buffer=self._buffer, seed=self._seed, epoch=place.epoch)

    def _num_rows(self, start: int) -> int:
        """Where a pass ends that goes on at `start`: after the last row that fills a step, or the rows that fill it."""
        left = max(0, self._length - start)
        steps = left // self._world_size if self._drop_last else -(-left // self._world_size)
        return start + steps * self._world_size

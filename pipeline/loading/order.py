"""The order of one pass: shuffled by blocks, so that what data-parallel ranks see at one step is of equal load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
RUN_ROWS = 8
"""Rows that stay neighbours until the buffer mixes them: so many are in a row group, which is what is read."""


def shuffled(
    blocks: Sequence[int], *, group: int, buffer: int, seed: int, epoch: int, stream: tuple[int, ...] = ()
) -> Rows:
    """Every row once, int64 [sum(blocks)]; a pure function of its arguments.

    blocks: rows of each data file. `pack` sorts the packs of a unit by vision load before it cuts them into files, so
    neighbours in a file are of nearly equal load. group: ranks; each `group` rows in a row of the result are one step.

    Steps are neighbours of one block. Blocks are shuffled; in a block, runs of about RUN_ROWS rows; then, so that
    neighbours part, the steps of each `buffer` runs; in a step, its rows, so that no rank always has the heaviest.
    What does not fill a step of its block meets what other blocks have left over, taken at the same depth of each,
    which differs by epoch. With more ranks than rows in a block, every step is of such.
    stream: numbers beside seed and epoch, for more than one order of the same epoch.
    Bits are drawn with PCG64.random_raw, which numpy promises never to change.
    """
    draw = np.random.PCG64(np.random.SeedSequence([seed, epoch, *stream])).random_raw
    place = _ranks(draw(len(blocks)))
    firsts = np.cumsum([0, *blocks])
    depth = draw() / 2**64
    run_steps = max(1, RUN_ROWS // group)
    whole, runs, rest, rest_of = [], [], [], []
    for block in np.argsort(place):
        rows = np.arange(firsts[block], firsts[block + 1])
        over = len(rows) % group
        cut = int(depth * (len(rows) - over + 1))
        whole.append(np.delete(rows, slice(cut, cut + over)).reshape(-1, group))
        runs.append(np.arange(len(whole[-1])) // run_steps)
        rest.append(rows[cut : cut + over])
        rest_of.append(np.full(over, place[block]))
    left = np.concatenate(rest)
    num_left = len(left) // group * group
    steps = np.concatenate([*whole, left[:num_left].reshape(-1, group)])
    blocks_of = np.concatenate(
        [*(np.full(len(own), i) for i, own in enumerate(whole)), np.concatenate(rest_of)[:num_left][group - 1 :: group]]
    )
    runs_of = np.concatenate([*runs, np.full(num_left // group, -1)])
    starts = np.flatnonzero(np.diff(blocks_of, prepend=-1) | np.diff(runs_of, prepend=-2))
    keys = np.repeat(draw(len(starts)), np.diff(starts, append=len(steps)))
    steps = steps[np.lexsort((np.arange(len(steps)), keys, blocks_of))]
    windows = np.arange(len(steps)) // (buffer * run_steps)
    steps = steps[np.lexsort((draw(len(steps)), windows))]
    inside = np.argsort(draw(steps.size).reshape(steps.shape), axis=1, kind="stable")
    return np.concatenate([np.take_along_axis(steps, inside, axis=1).ravel(), left[num_left:]])


def _ranks(keys: npt.NDArray[np.uint64]) -> Rows:
    """The place of each key among all."""
    return np.argsort(np.argsort(keys, kind="stable"))

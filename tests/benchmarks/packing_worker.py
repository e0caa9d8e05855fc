"""One packer on one problem, timed in this process, which is pinned to one core; prints bins, seconds and peak memory.

    packing_worker.py lodepack|"lodepack arrays"|"segment tree"|TRL ITEMS.npy LIMIT...

It also runs in the peers' environment, so it imports a packer when it is asked for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def lodepack(items: Integers, limits: tuple[int, ...]) -> Callable[[], int]:
    from operators.packing import pack_items

    return lambda: len(pack_items(items, limits))


def lodepack_arrays(items: Integers, limits: tuple[int, ...]) -> Callable[[], int]:
    from operators.packing import pack_array

    return lambda: len(pack_array(items, limits)[1]) - 1


def segment_tree(items: Integers, limits: tuple[int, ...]) -> Callable[[], int]:
    return lambda: len(best_fit_by_tree(items[:, 0].tolist(), limits[0]))


def trl(items: Integers, limits: tuple[int, ...]) -> Callable[[], int]:
    """TRL's own function on an Arrow table of all documents; their tokens take one byte each."""
    import pyarrow as pa
    from trl.data_utils import _pack_bfd

    offsets = np.concatenate([[0], np.cumsum(items[:, 0])])
    documents = pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), pa.array(np.zeros(int(offsets[-1]), np.int8))
    )
    table = pa.table({"input_ids": documents})
    return lambda: int(_pack_bfd(table, limits[0]).num_rows)


def best_fit_by_tree(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best-fit-decreasing, item by item: a segment tree over room finds the least that holds an item."""
    leaves = 1 << capacity.bit_length()
    holds = bytearray(2 * leaves)  # holds[leaves + room]: a bin has that room; above, whether any below has
    open_bins: list[list[int]] = [[] for _ in range(capacity + 1)]
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[item]
        node = leaves + length
        while node and not holds[node]:
            # Up until something lies to the right, then down to its leftmost leaf.
            while node > 1 and (node & 1 or not holds[node + 1]):
                node >>= 1
            if node <= 1:
                node = 0
                break
            node += 1
            while node < leaves:
                node = 2 * node + (not holds[2 * node])
        room = node - leaves if node else capacity
        if node:
            number = open_bins[room].pop()
            if not open_bins[room]:
                mark(holds, leaves + room, 0)
            bins[number].append(item)
        else:
            number = len(bins)
            bins.append([item])
        room -= length
        if room:
            if not open_bins[room]:
                mark(holds, leaves + room, 1)
            open_bins[room].append(number)
    return bins


def mark(holds: bytearray, node: int, value: int) -> None:
    holds[node] = value
    while node > 1:
        node >>= 1
        value = holds[2 * node] | holds[2 * node + 1]
        if holds[node] == value:
            break
        holds[node] = value


PACKERS = {"lodepack": lodepack, "lodepack arrays": lodepack_arrays, "segment tree": segment_tree, "TRL": trl}


def memory_mib(field: str) -> float:
    """VmRSS, what the process holds now, or VmHWM, the most that it held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field} in the status of the process")


def main() -> None:
    packer, path, *limits = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    items = np.load(path)
    pack = PACKERS[packer](items, tuple(map(int, limits)))
    before = memory_mib("VmRSS")
    began = time.perf_counter()
    num_bins = pack()
    seconds = time.perf_counter() - began
    peak = memory_mib("VmHWM") - before
    print(json.dumps({"documents": len(items), "bins": num_bins, "seconds": seconds, "peak_mib": peak}))


if __name__ == "__main__":
    main()

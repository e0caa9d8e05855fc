"""What a forecast scales with: what a shard holds, by its size or, where that is cheap, by the headers of its tar."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from pipeline import storage
from pipeline.containers import TAR, container_of
from pipeline.types import Shard

BYTES, SAMPLES, TEXT, PICTURES = "bytes", "samples", "text", "pictures"
MEASURES = (BYTES, SAMPLES, TEXT, PICTURES)
"""Bytes of the shard, its samples, the bytes of its texts and JSONs, and its pictures."""
MOST_SHARDS = 256
"""Shards of a source whose headers are looked at: 0.03 s for one of 300 members."""
MOST_BYTES = 16 << 30
"""All shards of a source together, for that; members of a larger one are too many."""
TEXTS = (".json", ".txt")


def measures(shards: Sequence[Shard], sizes: Mapping[str, int]) -> list[dict[str, float]]:
    """Each of MEASURES of each shard. sizes: bytes by URL.

    Without headers all are the bytes: shards on a store, other files than tars, and sources of very many.
    """
    by_size = [dict.fromkeys(MEASURES, float(sizes[shard.url])) for shard in shards]
    is_near = all(storage.is_local(shard.url) and container_of(shard.name) is TAR for shard in shards)
    if not is_near or len(shards) > MOST_SHARDS or sum(one[BYTES] for one in by_size) > MOST_BYTES:
        return by_size
    try:
        return [_of_headers(shard) | {BYTES: float(sizes[shard.url])} for shard in shards]
    except (tarfile.TarError, OSError, ValueError):  # what is damaged, the run itself tells of
        return by_size


def _of_headers(shard: Shard) -> dict[str, float]:
    found: Counter[str] = Counter({SAMPLES: 0, TEXT: 0, PICTURES: 0})
    keys: set[str] = set()
    with tarfile.open(storage.local_path(shard.url), "r:") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            keys.add(f"{path.parent}/{path.name.partition('.')[0]}")
            is_text = path.suffix in TEXTS
            found[TEXT if is_text else PICTURES] += member.size if is_text else 1
    return {name: float(number) for name, number in found.items()} | {SAMPLES: float(len(keys))}

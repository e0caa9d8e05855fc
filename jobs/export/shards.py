"""What all exports have in common: shards of bounded size, and lodepack.json, which says what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from jobs.export.samples import Sample, to_json
from jobs.export.target import Target
from pipeline import storage
from pipeline.loading.packs import Packs

T = TypeVar("T")
ABOUT = "lodepack.json"
LAYOUT_VERSION = 2
"""Raised when a name or type in the samples of an export changes."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a format's writer is given."""

    packs: Packs
    samples: Iterable[Sample]
    """To be taken once."""
    columns: Mapping[str, str]
    """Types by name, as `column_types` has them."""
    target: Target
    shard_bytes: int

    def about(self, to: str, layout: str, shards: Sequence[Shard]) -> bytes:
        """The content of lodepack.json: source, columns, layout and shards. It names no place: copies are equal."""
        address = storage.join(self.packs.url, "versions", f"{self.packs.number:06d}.json")
        content = {
            "to": to,
            "layout_version": LAYOUT_VERSION,
            "layout": layout,
            "columns": self.columns,
            "source": {"version": self.packs.number, "sha256": storage.hash_file(address)},
            "recipe": self.packs.recipe,
            "num_packs": len(self.packs),
            "shards": [asdict(shard) for shard in shards],
        }
        return to_json(content)


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished file of samples."""

    name: str
    num_samples: int
    num_bytes: int
    sha256: str


def split(samples: Iterable[tuple[T, int]], limit: int) -> Iterator[Iterator[T]]:
    """Samples (and their sizes in bytes) shard by shard, in order, in no shard more than `limit` bytes.

    A sample that is larger alone has a shard of its own. Take a shard's samples before you ask for the next shard.
    """

    def numbered() -> Iterator[tuple[int, T]]:
        number = used = 0
        for sample, size in samples:
            if used and used + size > limit:
                number, used = number + 1, 0
            used += size
            yield number, sample

    for _, shard in groupby(numbered(), key=itemgetter(0)):
        yield (sample for _, sample in shard)

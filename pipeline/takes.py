"""Which samples of each source a run takes: the first `max_samples` of it, and its share of the job's limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import storage
from pipeline.formats import FORMATS
from pipeline.read import count_samples
from pipeline.types import Shard, Source

Inputs = Sequence[tuple[Source, Sequence[Shard]]]
"""Each source of a job with its shards in order."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run reads of a source: its first shards and, if it is limited, how many samples of each."""

    source: Source
    shards: tuple[Shard, ...]
    takes: tuple[int, ...] | None
    withheld: tuple[Shard, ...]
    """Shards behind the last sample that is taken; they are not read."""


def take_samples(inputs: Inputs, limit: int | None) -> list[Taken]:
    """What is taken of each source, by shard order.

    limit: samples in all. They are dealt to the sources in turn, from the first, for as long as a source has more.
    Shards are counted only as far as that asks.
    """
    counted = [_Counted(source, shards) for source, shards in inputs]
    if limit is None:
        return [one.taken(one.source.max_samples) for one in counted]
    shares = dict.fromkeys(range(len(counted)), 0)
    left, still_open = limit, list(shares)
    while left and still_open:
        # Whole rounds at once. In each all open sources get as much, so that none is ever ahead by more than one.
        each = max(1, left // len(still_open))
        for i in list(still_open):
            given = counted[i].available(shares[i] + min(each, left)) - shares[i]
            shares[i] += given
            left -= given
            if left and given < each:
                still_open.remove(i)
    return [one.taken(shares[i]) for i, one in enumerate(counted)]


class _Counted:
    """A source whose shards are counted one after the other, as far as somebody asks."""

    def __init__(self, source: Source, shards: Sequence[Shard]) -> None:
        self.source = source
        self._shards = tuple(shards)
        self._counts: list[int] = []

    def available(self, wanted: int) -> int:
        """`wanted`, or what the source has if that is less."""
        if self.source.max_samples is not None:
            wanted = min(wanted, self.source.max_samples)
        while sum(self._counts) < wanted and len(self._counts) < len(self._shards):
            shard = self._shards[len(self._counts)]
            with storage.open_input(shard.url) as (stream, size):
                found = count_samples(stream, size, shard_name=shard.name, format=FORMATS[self.source.format])
            self._counts.append(found)
        return min(wanted, sum(self._counts))

    def taken(self, num_samples: int | None) -> Taken:
        """The first `num_samples` of the source; None takes all."""
        if num_samples is None:
            return Taken(self.source, self._shards, None, ())
        left = self.available(num_samples)
        takes: list[int] = []
        for count in self._counts:
            takes.append(min(left, count))
            left -= takes[-1]
        return Taken(self.source, self._shards[: len(takes)], tuple(takes), self._shards[len(takes) :])

"""Which sample a name means: looked up in the index, among the rejects, and in what limits and weights withheld."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.draw import plural
from jobs.inspect.output import Output
from pipeline import ledger, storage
from pipeline.errors import ConfigError, StorageError
from pipeline.formats import FORMATS
from pipeline.operator import Row
from pipeline.read import NO_DATA, read_shard

READING_THREADS = 8
MAX_LISTED = 10
"""Samples of one name that an error lists."""


class SampleId(NamedTuple):
    """A sample's place in the input; no two have the same."""

    shard: str
    key: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.key}#{self.ordinal}"

    def is_called(self, name: str) -> bool:
        return name in {self.key, f"{self.shard}/{self.key}", str(self)}


@dataclass(frozen=True, slots=True)
class Found:
    """One sample, and where the files of its units have it; a withheld one has no unit."""

    id: SampleId
    unit: str | None = None
    """That packed or rejected it."""
    index: tuple[str, int] | None = None
    """The path of the index that has it and its row there; None if it was not measured."""
    is_rejected: bool = False


def find_sample(output: Output, wanted: str) -> Found:
    """The one sample called KEY, SHARD/KEY or SHARD/KEY#ORDINAL. ConfigError if there is none, or more than one."""
    with ThreadPoolExecutor(READING_THREADS) as threads:
        parts = list(threads.map(lambda unit: _search(output, unit, wanted), output.units))
    closing = {closed: part.unit for part in parts for closed in part.closes}
    places = {name: (part, place) for part in parts for name, place in part.indexed.items()}
    rejected = {name: part.unit for part in parts for name in part.rejected}
    found: list[Found] = []
    for name in sorted(places.keys() | rejected.keys()):
        part, place = places.get(name, (None, None))
        unit = rejected.get(name)
        if unit is None and part is not None:
            unit = closing[part.unit] if name in part.carried else part.unit
        found.append(Found(name, unit, place, name in rejected))
    found = found or _search_withheld(output, wanted)
    if len(found) > 1:
        names = sorted(sample.id for sample in found)
        listed = [f"  {name}" for name in names[:MAX_LISTED]]
        more = [f"  and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
        raise ConfigError("\n".join([f"{len(names)} samples are called {wanted}; give one in full:", *listed, *more]))
    return found[0]


def which_are(ids: pa.StructArray, wanted: str) -> pa.BooleanArray:
    """Which of the ids (shard, key, ordinal) may be called `wanted`."""
    shard, key, ordinal = (ids.field(name) for name in SampleId._fields)
    middle = pc.binary_join_element_wise(shard, key, "/")
    full = pc.binary_join_element_wise(middle, pc.cast(ordinal, pa.string()), "#")
    return pc.or_(pc.or_(pc.equal(key, wanted), pc.equal(middle, wanted)), pc.equal(full, wanted))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one unit knows of the samples of a name; a closing unit has no index."""

    unit: str
    closes: Sequence[str]
    indexed: dict[SampleId, tuple[str, int]]
    carried: set[SampleId]
    rejected: set[SampleId]


def _search(output: Output, unit: str, wanted: str) -> _Part:
    files = output.files(unit)
    indexed: dict[SampleId, tuple[str, int]] = {}
    carried: set[SampleId] = set()
    for path in files["index"]:
        table = output.read(path, ["id", "carried"])
        ids = table["id"].combine_chunks()
        for i in pc.indices_nonzero(which_are(ids, wanted)).to_pylist():
            name = SampleId(**ids[i].as_py())
            indexed[name] = path, i
            carried |= {name} if table["carried"][i].as_py() else set()
    table = output.read(files["rejects"][0], ["level", "id"])
    ids = table.filter(pc.equal(table["level"], ledger.SAMPLE))["id"].combine_chunks()
    rejected = {SampleId(**row) for row in ids.filter(which_are(ids, wanted)).to_pylist()}
    return _Part(unit, output.manifest(unit).get("closes", ()), indexed, carried, rejected)


def _search_withheld(output: Output, wanted: str) -> list[Found]:
    """Samples that were kept out, found by reading the shards they may be in. ConfigError if there are none.

    A shard that a limit cut is read, and every other one that holds back samples if `wanted` names it.
    """
    urls = output.newest_run().get("shards", {})
    unread = output.version["withheld_shards"]
    cut: list[str] = []
    thinned: list[str] = []
    for manifest in (output.manifest(unit) for unit in output.units):
        for entry in manifest["inputs"] if manifest["counts"]["samples"]["withheld"] else ():
            (cut if entry.get("take", entry["samples"]) < entry["samples"] else thinned).append(entry["shard"])
    found: list[Found] = []
    hints: list[str] = []
    for shard in [*cut, *(name for name in [*unread, *thinned] if wanted.startswith(f"{name}/"))]:
        try:
            names = _names_in(output, shard, urls[shard]) if shard in urls else []
        except StorageError as error:
            hints.append(f"; {shard}, which the limit cut, is out of reach: {error}")
            continue
        found += [Found(name) for name in names if name.is_called(wanted)]
    if found:
        return found
    if thinned:
        which = plural(len(thinned), "shard")
        hints.append(f"; weights leave samples out of {which}: to look in one say {thinned[0]}/KEY")
    if unread:
        hints.append(f"; the limit left {plural(len(unread), 'shard')} unread: to look in one say {unread[0]}/KEY")
    samples = output.version["totals"]["samples"]
    counts = ", ".join(f"{samples[name]} {name}" for name in ("packed", "rejected", "withheld"))
    raise ConfigError(
        f"no sample is called {wanted} in {output.url} ({counts}); "
        f"give KEY, SHARD/KEY or SHARD/KEY#ORDINAL{''.join(hints)}"
    )


def _names_in(output: Output, shard: str, url: str) -> list[SampleId]:
    """The samples of a whole shard, named as a build names them."""
    # In a mixture the source stands before the shard's name; a job that mixes none has one source alone.
    sources = output.version["sources"]
    source = sources.get(shard.partition("/")[0]) or next(iter(sources.values()))
    with storage.open_input(url) as (stream, size):
        tables = read_shard(
            stream,
            size,
            shard_name=shard,
            unit=0,
            shard_number=0,
            format=FORMATS[source["format"]],
            limits=NO_DATA,
            take=0,
        )
        rows: list[Row] = [row for table in tables for row in table.select(["key", "ordinal", "shard_end"]).to_pylist()]
    return [SampleId(shard, row["key"], row["ordinal"]) for row in rows if row["shard_end"] is None]

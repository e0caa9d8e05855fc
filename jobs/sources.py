"""The sources of a job with their shards, each with its format by name: as the job says, or as its shards look."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.inputs import AUTO, sections_by_source
from jobs.spec import Job, absolute
from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.formats import FORMATS
from pipeline.formats.recognise import Recognised, look, names_of, num_documents, recognise
from pipeline.takes import Inputs
from pipeline.tar import Member
from pipeline.types import Shard, Source
from pipeline.units import list_shards

MAX_SHARDS = 8
"""That are looked at, at most, until one has a member."""
SUCCESS = "success"
"""What img2dataset's sidecar has in the column `status` for a picture that it could download."""


def list_inputs(job: Job) -> Inputs:
    """Every source with its shards. ConfigError names what is wrong with a pattern or a format."""
    found: list[tuple[Source, Sequence[Shard]]] = []
    for source, section in sections_by_source(job.input):
        shards = list_shards([absolute(pattern) for pattern in section.shards], source.name)
        refuse_sidecars(shards, source)
        found.append((source.with_format(settle_format(source, shards)[0]), shards))
    return found


def settle_format(source: Source, shards: Sequence[Shard]) -> tuple[str, str | None]:
    """The name of a source's format and, where the job says auto, the line that tells why.

    A shard that is empty or damaged says nothing: the next is looked at. ConfigError where nothing is recognised, and
    where the job names a format in which the first samples of the first shard make no document, while most of them do
    in another. What no format knows is left to be rejected.
    """
    if source.format == AUTO:
        shard, members = _first_with_members(shards)
        found = recognise(members)
        if found is None:
            raise ConfigError(
                f"{_field(source)} is auto, and {shard.name} looks like none of {', '.join(FORMATS)}: it has "
                f"{names_of(members)}; say which format it is, or give shards of one of them"
            )
        return found.format, f"{found.format}: {shard.name} {found.why}{_sidecar(shard, found)}"
    shard = shards[0]
    with suppress(StorageError):  # of a shard that cannot be read the run itself tells, after its retries
        members = _first_members(shard)
        if not num_documents(members, FORMATS[source.format]):
            found = recognise(members)
            if found is not None and 2 * found.num_documents > found.num_samples:
                raise ConfigError(
                    f"{_field(source)} is {source.format}, and {shard.name} looks like {found.format} "
                    f"(it {found.why}); say format: {found.format}, or auto"
                )
    return source.format, None


def refuse_sidecars(shards: Sequence[Shard], source: Source) -> None:
    """ConfigError for a pattern that also names what img2dataset writes beside its shards."""
    urls = {shard.url for shard in shards}
    for shard in shards:
        for ending in (".parquet", "_stats.json"):
            tar = f"{shard.url.removesuffix(ending)}.tar"
            if shard.url.endswith(ending) and tar in urls:
                field = _field(source).replace(".format", ".shards")
                raise ConfigError(
                    f"{field} names {shard.url}, which stands beside a shard, {tar}, and is none; write "
                    f"{shard.url.rpartition('/')[0]}/*.tar"
                )


def _first_with_members(shards: Sequence[Shard]) -> tuple[Shard, list[Member]]:
    """The first shard with a member, of as many as are looked at, and its first members; or the first, and none."""
    looked_at = ((shard, _first_members(shard)) for shard in shards[:MAX_SHARDS])
    return next((found for found in looked_at if found[1]), (shards[0], []))


def _first_members(shard: Shard) -> list[Member]:
    with storage.open_input(shard.url) as (stream, size):
        return look(stream, size, shard.name)


def _field(source: Source) -> str:
    return "input.format" if source.name is None else f"input.sources.{source.name}.format"


def _sidecar(shard: Shard, found: Recognised) -> str:
    """What img2dataset's Parquet file beside a shard of pairs says of its downloads; nothing if there is none."""
    url = f"{shard.url.removesuffix('.tar')}.parquet"
    if found.format != "pairs" or not storage.exists(url):
        return ""
    try:
        with storage.open_input(url) as (stream, _):
            status = pq.read_table(stream, columns=["status"])["status"]
    except (pa.ArrowException, KeyError, OSError):
        return ""
    num_loaded = pc.sum(pc.equal(status, SUCCESS)).as_py() or 0
    name = url.rpartition("/")[2]
    return f"; {name} beside it lists {len(status):,} pictures, {num_loaded:,} of them downloaded"

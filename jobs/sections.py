"""The sections of a job that say how it is run: units, what operators ask of a cluster, and where patience ends."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from jobs.inputs import Section
from jobs.shapes import EXAMPLE, Shape, parse_shape
from pipeline.errors import ConfigError
from pipeline.types import ReadLimits


class UnitSection(Section):
    """Shards that are packed and committed together."""

    target_shards: int = Field(8, ge=1, le=10_000)
    """Shards in a unit on average; from a quarter to twice as many in each."""


class PoolSection(Section):
    """Actors of one operator. All but decode, pack and write share the pool of the one before where it is absent."""

    cpus: float = Field(0.5, ge=0)
    """CPUs of one actor; fractions share a core."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of one actor; fractions share a device."""
    actors: tuple[int, int] = (1, 8)
    """Fewest and most actors; the most is cut to what the cluster holds."""
    batch_size: int = Field(32, ge=1)
    """Rows per call."""

    @model_validator(mode="after")
    def _ordered(self) -> PoolSection:
        if not 1 <= self.actors[0] <= self.actors[1]:
            raise ValueError(f"actors is {list(self.actors)}; [fewest, most] with 1 <= fewest <= most expected")
        return self


class ScorePool(PoolSection):
    """Actors of `score`, `filter` or `discretise`: on CPUs; give gpus: 0.25 to run it on GPUs, four actors to each."""

    cpus: float = Field(0.25, ge=0)
    device: Literal["cpu", "cuda"] | None = None
    """What it computes on; by default cuda where an actor has a share of a GPU, otherwise the CPU."""

    @model_validator(mode="after")
    def _sees_a_gpu(self) -> ScorePool:
        if self.device == "cuda" and not self.gpus:
            raise ValueError("device is cuda and gpus is 0: such an actor is shown no GPU; give gpus: 0.25")
        return self


def computes_on(section: ScorePool | None) -> Literal["cpu", "cuda"]:
    """The device of an operator by its section; without one it shares actors that have none."""
    if section is None:
        return "cpu"
    return section.device or ("cuda" if section.gpus else "cpu")


class PackPool(PoolSection):
    """The one actor of `pack`: it sees lengths only, so one keeps up with a cluster."""

    cpus: float = Field(0.0, ge=0)
    actors: tuple[int, int] = (1, 1)
    batch_size: int = Field(64, ge=1)

    @field_validator("actors")
    @classmethod
    def _one(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value != (1, 1):
            raise ValueError(f"actors is {list(value)}; pack gathers whole units and is one actor: [1, 1]")
        return value


class WritePool(PoolSection):
    """Actors of `write`; a row is a file of 64 packs."""

    batch_size: int = Field(1, ge=1)


class ResourcesSection(Section):
    """What each operator asks of a cluster; no byte depends on it. Absent pools share that of the operator before."""

    grows_to: str | None = None
    """Where the cluster autoscales, all its nodes at its largest: "cpus=4 + 8x(cpus=16,gpus=1)". Pools are sized for
    them, and those that are not there yet are waited for. Absent: the cluster stays what it is."""
    read_cpus: float = Field(0.25, gt=0)
    """CPUs of one read task; room for one is kept. Where shards are as many as CPUs, or more, the actors of decode read
    them, and there is no such task."""
    object_store_mib: int = Field(256, ge=32)
    """Of Ray's object store, for each CPU of the cluster, that rows may take between two operators: readers wait when
    decoding is behind, and all of them when writing is. An operator has a few blocks of 4 MiB in hand beside that."""
    decode: PoolSection = PoolSection()
    discretise: ScorePool | None = None
    filter: ScorePool | None = None
    slice: PoolSection | None = None
    tokenize: PoolSection | None = None
    score: ScorePool | None = None
    reduce: PoolSection | None = None
    pack: PackPool = PackPool()
    write: WritePool = WritePool()

    @field_validator("grows_to")
    @classmethod
    def _nodes(cls, value: str | None) -> str | None:
        try:
            parse_shape(value or EXAMPLE, "grows_to")
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def largest(self) -> Shape:
        """The nodes that grows_to names."""
        return parse_shape(self.grows_to, "grows_to") if self.grows_to is not None else ()


class LimitsSection(Section):
    """Where patience ends."""

    max_reject_ratio: float = Field(0.05, ge=0, le=1)
    """Share of rejected samples above which the job fails, with the reasons and three examples."""
    max_image_pixels: int = Field(100_000_000, ge=1)
    """Larger pictures are rejected by their header alone."""
    max_member_bytes: int = Field(256 << 20, ge=1)
    """Larger members of a shard are not read."""
    max_text_bytes: int = Field(4 << 20, ge=1)
    """Larger texts and JSONs are not read; a million tokens of English have as many. One takes up to 400 times its
    size while it is tokenized."""
    max_sample_bytes: int = Field(1 << 30, ge=1)
    """Samples whose members have more in all are rejected before they fill the memory."""
    max_sample_members: int = Field(10_000, ge=1)
    """Samples of more members are rejected, and those whose JSON makes more texts and images."""
    decode_timeout_seconds: float = Field(60.0, gt=0)
    """A picture that takes longer is tried once more by itself, and then rejected."""
    stall_seconds: float = Field(900.0, gt=0)
    """A run in which nothing has moved for so long says which operator holds which rows, and starts over with them."""
    wait_seconds: float = Field(1800.0, ge=0)
    """Nodes that the cluster may grow to and does not have yet are waited for so long (resources.grows_to)."""

    @property
    def reading(self) -> ReadLimits:
        """Those that `read` holds."""
        return ReadLimits(self.max_member_bytes, self.max_text_bytes, self.max_sample_bytes, self.max_sample_members)
